"""Faults of the world around labctl, done to real labs."""
