"""The file in which a lab keeps a student's progress."""

from __future__ import annotations

from pathlib import Path

from orchestrator.drills.progress import Progress
from orchestrator.errors import SpecError
from orchestrator.lab.state import Lab
from orchestrator.paths import write_private


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
