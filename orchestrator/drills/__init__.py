"""Drills: exercises as data, the progress a student makes, and the verdict on what was repaired."""
