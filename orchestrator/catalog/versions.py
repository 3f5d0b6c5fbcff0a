"""Version numbers and ranges of them, as the catalog's data writes them: `1.20.2`, `1.18-1.23`, `1.31-`."""

from __future__ import annotations

Number = tuple[int, ...]


def number(text: str) -> Number:
    """`1.20.2` as (1, 20, 2), what follows the digits (`6.1.0-13-amd64`) left out; raises ValueError on no digits."""
    parts: list[int] = []
    for part in text.split("."):
        digits = part[: next((i for i, c in enumerate(part) if not c.isdigit()), len(part))]
        if digits:
            parts.append(int(digits))
        if digits != part:
            break
    if not parts:
        raise ValueError(f"{text!r} is not a version")
    return tuple(parts)


def minor(version: str) -> str:
    """`1.20` of `1.20.2`."""
    return ".".join(version.split(".")[:2])


def at_least(version: str, minimum: str) -> bool:
    """Whether `version` is `minimum` or later, compared number by number."""
    return number(version) >= number(minimum)


def within(version: str, limits: str) -> bool:
    """Whether the minor of `version` lies in the range; an open end has no limit."""
    low, _, high = limits.partition("-")
    value = number(minor(version))
    return number(low) <= value and (not high or value <= number(high))
