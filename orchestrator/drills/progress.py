"""The progress of a lab's student: the drill that is open, and what came of every drill so far. Pure transitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from orchestrator.errors import SpecError

RESULTS_SCHEMA = "labctl/drill-results/v1"

Phase = Literal["starting", "open", "solved", "solving", "resetting"]


@dataclass(frozen=True)
class Attempt:
    """The drill that is open. Times in seconds since the epoch; `answered` holds the numbers of right answers."""

    slug: str
    directory: str
    phase: Phase
    began: float
    hints: int = 0
    checks: int = 0
    answered: tuple[int, ...] = ()
    solved_at: float | None = None
    by: Literal["", "student", "labctl"] = ""

    @property
    def seconds(self) -> float:
        """The time from the break to the solution; 0 before it."""
        return self.solved_at - self.began if self.solved_at else 0.0

    @property
    def interrupted(self) -> bool:
        """Whether labctl was working on it, and so, when nobody holds the lab, was ended in the middle."""
        return self.phase in ("starting", "solving", "resetting")


@dataclass(frozen=True)
class Record:
    """What came of one drill: counts over all attempts, and the best solution of the student's own (seconds)."""

    attempts: int = 0
    solved: int = 0
    shown: int = 0
    checks: int = 0
    seconds: float | None = None
    hints: int | None = None
    last: float = 0.0


@dataclass(frozen=True)
class Progress:
    """The state of a lab's drills. Its size depends on the number of drills alone, not on how often they are done."""

    current: Attempt | None = None
    records: Mapping[str, Record] = field(default_factory=dict)

    def as_json(self) -> str:
        body = {
            "schema": "labctl/drill-state/v1",
            "current": asdict(self.current) if self.current else None,
            "records": {slug: asdict(record) for slug, record in self.records.items()},
        }
        return json.dumps(body, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Read back what `as_json` wrote; raises ValueError when it is something else."""
        from pydantic import TypeAdapter

        body = json.loads(text)
        if not isinstance(body, dict) or body.pop("schema", None) != "labctl/drill-state/v1":
            raise ValueError("not a labctl/drill-state/v1 document")
        return TypeAdapter(cls).validate_python(body)

    def required(self, slug: str = "") -> Attempt:
        """The drill that is open. Raises SpecError when none is, or another than `slug`."""
        if self.current is None:
            raise SpecError("no drill is open", fix="labctl drill list; labctl drill start NAME")
        if slug and slug != self.current.slug:
            raise SpecError(f"{self.current.slug} is open, not {slug}", fix="labctl drill status")
        return self.current

    def begin(self, slug: str, directory: str, now: float) -> Progress:
        """The drill is being started. Raises SpecError when another is open, or this one is and was not interrupted."""
        held = self.current
        if held is not None and not (held.slug == slug and held.phase == "starting"):
            done = "is solved, but its traces are still in the lab" if held.phase == "solved" else "is open"
            raise SpecError(
                f"the drill {held.slug} {done}; one at a time",
                fix="labctl drill reset   (labctl drill status shows it)",
            )
        before = self.records.get(slug, Record())
        counted = before if held is not None else replace(before, attempts=before.attempts + 1, last=now)
        return Progress(Attempt(slug, directory, "starting", now), {**self.records, slug: counted})

    def opened(self, now: float) -> Progress:
        """The lab is broken now: the student's time begins."""
        return replace(self, current=replace(self.required(), phase="open", began=now))

    def hinted(self) -> Progress:
        """One hint more was shown."""
        held = self.required()
        return replace(self, current=replace(held, hints=min(held.hints + 1, 3)))

    def answered(self, number: int) -> Progress:
        """The question of this number, counted from 1, was answered rightly."""
        held = self.required()
        return replace(self, current=replace(held, answered=tuple(sorted({*held.answered, number}))))

    def checked(self, solved: bool, now: float, by: Literal["student", "labctl"]) -> Progress:
        """A check was done. The first that finds all goals reached ends the student's time."""
        held = self.required()
        record = self.records.get(held.slug, Record())
        if by == "student":
            record = replace(record, checks=record.checks + 1)
        current = replace(held, checks=held.checks + (by == "student"), phase="open")
        if solved and held.solved_at is None:
            # Who asked for the solution once has not solved it himself.
            by = "labctl" if held.by == "labctl" else by
            current = replace(current, phase="solved", solved_at=now, by=by)
            record = _counted(record, held, now, by)
        elif held.solved_at is not None:
            current = replace(current, phase="solved")
        return Progress(current, {**self.records, held.slug: record})

    def working(self, phase: Literal["solving", "resetting"]) -> Progress:
        """labctl works on the lab now."""
        held = self.required()
        by = "labctl" if phase == "solving" and held.solved_at is None else held.by
        return replace(self, current=replace(held, phase=phase, by=by))

    def closed(self) -> Progress:
        """The lab is as before the drill."""
        return replace(self, current=None)


def _counted(record: Record, held: Attempt, now: float, by: str) -> Record:
    if by != "student":
        return replace(record, shown=record.shown + 1, last=now)
    seconds = now - held.began
    best = record.seconds is None or seconds < record.seconds
    return replace(
        record,
        solved=record.solved + 1,
        seconds=seconds if best else record.seconds,
        hints=held.hints if best else record.hints,
        last=now,
    )
