"""What a check of the host is and what it says: found, required, and the fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "warning", "not_applicable", "error"]


@dataclass(frozen=True)
class Repair:
    """What `doctor --fix` may do by itself: install packages, or remove files that nobody needs any more."""

    packages: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """The verdict of a judge; `passed` is None when the check does not apply here."""

    passed: bool | None
    found: str
    required: str = ""
    fix: str = ""
    repair: Repair | None = None


@dataclass(frozen=True)
class Check:
    """One question to the host. `look` asks and judges; it gets `seconds` to answer."""

    id: str
    title: str
    look: Callable[[], Finding]
    severity: Literal["error", "warning"] = "error"
    seconds: float = 10.0


@dataclass(frozen=True)
class Result:
    """The answer to a check; `seconds` is the time it took."""

    id: str
    title: str
    status: Status
    found: str
    required: str = ""
    fix: str = ""
    repair: Repair | None = None
    seconds: float = 0.0


def good(found: str, required: str = "") -> Finding:
    """What is as it should be."""
    return Finding(True, found, required)


def bad(found: str, required: str, fix: str, repair: Repair | None = None) -> Finding:
    """What is not, and the way out."""
    return Finding(False, found, required, fix, repair)


def not_applicable(why: str) -> Finding:
    """What no lab on this host needs, and why."""
    return Finding(None, why)
