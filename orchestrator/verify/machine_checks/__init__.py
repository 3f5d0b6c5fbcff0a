"""Checks of the machines themselves, whatever runs on them; run on every node."""
