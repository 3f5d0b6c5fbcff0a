"""Checks of verify and doctor: one model, the declarations, and one renderer each for text, JSON, JUnit and HTML."""
