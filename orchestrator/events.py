"""Typed events of a running verb, which the live view, the plain lines and `--progress jsonl` show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened at `at` (seconds since the epoch) in `phase`, on `node` if it concerns one."""

    phase: str
    node: str = ""
    at: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON-ready data, `event` naming its type."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class PhaseStarted(Event):
    """A phase started; `title` says what it does, `steps` how many steps it expects (0: unknown)."""

    title: str = ""
    steps: int = 0


@dataclass(frozen=True)
class PhaseEnded(Event):
    """A phase ended after `seconds`; `result` is `ok`, `failed` or `interrupted`."""

    result: str = "ok"
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Step(Event):
    """One step inside a phase; `status` is `running`, `ok`, `changed`, `skipped`, `failed`, `unreachable`.

    `remaining` is the estimated number of seconds to the end of the phase, None when it is unknown.
    """

    name: str = ""
    status: str = "running"
    detail: str = ""
    remaining: float | None = None


@dataclass(frozen=True)
class Note(Event):
    """One sentence for the user: a choice, something started on the host, a warning."""

    text: str = ""


Emit = Callable[[Event], None]


def discard(event: Event) -> None:
    """An `Emit` that drops every event."""


@contextmanager
def phase(emit: Emit, name: str, title: str, steps: int = 0) -> Iterator[None]:
    """Emit PhaseStarted before a block and PhaseEnded after it, also when the block raises."""
    started = time.monotonic()
    emit(PhaseStarted(phase=name, title=title, steps=steps))
    result = "failed"
    try:
        yield
        result = "ok"
    except KeyboardInterrupt:
        result = "interrupted"
        raise
    finally:
        emit(PhaseEnded(phase=name, result=result, seconds=time.monotonic() - started))
