"""A student's progress in a lab: its file, the drill that is open, `labctl drill status` and `hint`."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.drills.load import load
from orchestrator.drills.messages import Wording
from orchestrator.drills.progress import RESULTS_SCHEMA, Attempt, Progress
from orchestrator.drills.schema import Drill
from orchestrator.errors import SpecError
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.state import Lab
from orchestrator.paths import write_private


@dataclass(frozen=True)
class Task:
    """The task of a drill, in the student's language."""

    schema: ClassVar[str] = "labctl/drill/v1"

    drill: Drill
    wording: Wording

    @property
    def text(self) -> str:
        return self.wording.text(self.drill.task)

    def as_dict(self) -> dict[str, Any]:
        return {**drill_facts(self.drill, self.wording), "task": self.text}


@dataclass(frozen=True)
class Hints:
    """The hints of the open drill that were shown so far, and whether there are more."""

    schema: ClassVar[str] = "labctl/drill-hint/v1"

    slug: str
    hints: tuple[str, ...]
    has_more: bool

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.slug, "hints": self.hints}


@dataclass(frozen=True)
class DrillStatus:
    """The results of this lab, the drill that is open, and its task."""

    schema: ClassVar[str] = RESULTS_SCHEMA

    results: dict[str, Any]
    attempt: Attempt | None
    task: Task | None

    def as_dict(self) -> dict[str, Any]:
        return {**self.results, "open": vars(self.attempt) if self.attempt else None}


def drill_facts(drill: Drill, wording: Wording) -> dict[str, Any]:
    """What documents say of a drill."""
    return {
        "name": drill.slug,
        "title": wording.text(drill.title),
        "section": drill.section,
        "level": drill.level,
        "minutes": drill.minutes,
        "teaches": wording.text(drill.teaches),
        "directory": str(drill.directory),
    }


def progress_file(lab: Lab) -> Path:
    """Where the lab's progress is kept."""
    return lab.directory.root / "drills.json"


def read_progress(lab: Lab) -> Progress:
    """The lab's progress. Raises SpecError when its file is damaged."""
    file = progress_file(lab)
    try:
        return Progress.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Progress()
    except ValueError as problem:
        raise SpecError(f"{file} is damaged: {str(problem).splitlines()[0]}", fix=f"rm {file}") from None


def save_progress(lab: Lab, progress: Progress) -> Progress:
    """Write the progress, and return it."""
    write_private(progress_file(lab), progress.as_json())
    return progress


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


def results_document(lab: Lab, student: str = "") -> dict[str, Any]:
    """The results of this lab as the document that `drill report` reads."""
    return read_progress(lab).results(student or getpass.getuser(), lab.plan.name)


def show_hint(lab: Lab, given: Path | None, wording: Wording) -> Hints:
    """One hint more of the open drill."""
    with exclusive_lock(lab.directory, "drill hint"):
        drill, progress = open_drill(lab, given)
        count = save_progress(lab, progress.hinted()).required().hints
    return Hints(drill.slug, tuple(map(wording.text, drill.hints[:count])), count < len(drill.hints))


def drill_status(lab: Lab, given: Path | None, wording: Wording, student: str, *, with_task: bool) -> DrillStatus:
    """The open drill and the results; the task only when it is wanted, for the drill's directory may be gone."""
    attempt = read_progress(lab).current
    task = Task(open_drill(lab, given)[0], wording) if attempt and with_task else None
    return DrillStatus(results_document(lab, student), attempt, task)
