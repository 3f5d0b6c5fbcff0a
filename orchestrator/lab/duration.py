"""Durations in words."""

from __future__ import annotations

_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def in_words(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two, such as `3 hours`."""
    size, name = next((unit for unit in _UNITS if seconds >= 2 * unit[0]), _UNITS[-1])
    return f"{seconds / size:.0f} {name}"
