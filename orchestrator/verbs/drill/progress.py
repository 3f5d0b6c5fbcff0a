"""A student's progress in a lab: the drill that is open, `labctl drill status` and `hint`."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.drills.load import load
from orchestrator.drills.messages import Wording
from orchestrator.drills.progress import RESULTS_SCHEMA, Attempt, Progress, Record
from orchestrator.drills.schema import Drill
from orchestrator.errors import SpecError
from orchestrator.lab.drill_progress import read_progress, save_progress
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab


@dataclass(frozen=True)
class DrillFacts:
    """What documents say of a drill, in the student's language."""

    name: str
    title: str
    section: str
    book: tuple[str, ...]
    level: int
    minutes: int
    tested: tuple[str, ...]
    teaches: str
    directory: str


@dataclass(frozen=True)
class Task(DrillFacts, Result):
    """The task of a drill."""

    task: str
    schema = "labctl/drill/v1"


@dataclass(frozen=True)
class Hints(Result):
    """The hints of the open drill that were shown so far."""

    name: str
    hints: tuple[str, ...]
    schema = "labctl/drill-hint/v1"


@dataclass(frozen=True)
class DrillStatus(Result):
    """The results of this lab, and the drill that is open."""

    student: str
    lab: str
    drills: Mapping[str, Record]
    open: Attempt | None
    schema = RESULTS_SCHEMA


def drill_facts(drill: Drill, wording: Wording) -> dict[str, Any]:
    """The fields of a drill's facts."""
    same = {name: getattr(drill, name) for name in ("section", "book", "level", "minutes", "tested")}
    texts = {name: wording.text(getattr(drill, name)) for name in ("title", "teaches")}
    return {"name": drill.slug, "directory": str(drill.directory), **same, **texts}


def task_of(drill: Drill, wording: Wording) -> Task:
    """The task of a drill in the student's language."""
    return Task(**drill_facts(drill, wording), task=wording.text(drill.task))


def open_drill(lab: Lab, given: Path | None = None) -> tuple[Drill, Progress]:
    """The drill that is open, and the progress. Raises SpecError when none is, or its directory is gone."""
    progress = read_progress(lab)
    attempt = progress.required()
    directory = given / attempt.slug if given else Path(attempt.directory)
    if not directory.is_dir():
        raise SpecError(
            f"the directory of the drill {attempt.slug} is gone: {directory}", fix="labctl drill reset --path DIRECTORY"
        )
    return load(directory), progress


def show_hint(lab: Lab, given: Path | None, wording: Wording) -> Hints:
    """One hint more of the open drill."""
    with exclusive_lock(lab.directory, "drill hint"):
        drill, progress = open_drill(lab, given)
        count = save_progress(lab, progress.hinted()).required().hints
    return Hints(drill.slug, tuple(map(wording.text, drill.hints[:count])))


def drill_status(lab: Lab, student: str = "") -> DrillStatus:
    """The results of this lab, as `drill report` reads them, and the open drill."""
    progress = read_progress(lab)
    records = dict(sorted(progress.records.items()))
    return DrillStatus(student or getpass.getuser(), lab.plan.name, records, progress.current)
