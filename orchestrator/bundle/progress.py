"""Progress of work on a bundle: which step runs, and how long the rest will take."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.events import Emit, Event, Note, Step

_TICK = 1.5


@dataclass
class Progress:
    """Says at least every two seconds, from a thread of its own, which step runs and how long the rest will take.

    `plan` has the steps still to come with the seconds each is expected to take; on a slower or busier
    machine the estimate grows by what the steps so far have shown.
    """

    emit: Emit
    phase: str
    plan: dict[str, float]
    started: float = field(default_factory=time.monotonic)
    _expected: float = 0.0
    _taken: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event: Event) -> None:
        with self._lock:
            self.emit(event)

    def note(self, text: str) -> None:
        self.send(Note(phase=self.phase, text=text))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Frame a step; the yielded list's last entry is shown as detail."""
        began = time.monotonic()
        expected = self.plan.pop(name, 0.0)
        detail: list[str] = [""]
        done = threading.Event()

        def remaining() -> float:
            slower = max(self._taken / self._expected, 1.0) if self._expected else 1.0
            return max(expected * slower - (time.monotonic() - began), 1.0) + sum(self.plan.values()) * slower

        def tick() -> None:
            while not done.wait(_TICK):
                text = f"{detail[-1]} {time.monotonic() - began:.0f} s".strip()
                self.send(Step(phase=self.phase, name=name, detail=text, remaining=remaining()))

        self.send(Step(phase=self.phase, name=name, remaining=remaining()))
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        status = "failed"
        try:
            yield detail
            status = "ok"
        finally:
            done.set()
            ticker.join()
            seconds = time.monotonic() - began
            self._expected, self._taken = self._expected + expected, self._taken + seconds
            left = sum(self.plan.values())
            self.send(Step(phase=self.phase, name=name, status=status, detail=f"{seconds:.1f} s", remaining=left))
