"""Checks of the host that the lab runs on, as far as the lab needs it; each runs once, on the host itself."""
