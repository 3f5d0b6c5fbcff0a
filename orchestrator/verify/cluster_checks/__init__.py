"""Checks of the cluster as a whole; each runs once, through the session of the control plane."""
