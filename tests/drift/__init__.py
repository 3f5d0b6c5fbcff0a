"""Ways to break a lab, and the proof that `labctl verify` names each."""
