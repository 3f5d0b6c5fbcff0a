"""`labctl plan`: load lab.yml, observe, decide. Nothing is started and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import catalog, spec
from orchestrator.errors import SpecError
from orchestrator.model import Observed, Plan
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.spec import Override, Spec
from orchestrator.workflows import lab as labs
from orchestrator.workflows.observe import observe


def load(file: Path | None, overrides: Sequence[Override] = ()) -> Spec:
    """The Spec of the given file, of ./lab.yml, or of no file. Raises SpecError; a named file must exist."""
    path = labs.lab_file(file)
    if file is None and not path.exists():
        return replace(spec.load(None, overrides), file=None)
    return spec.load(path, overrides)


def directory_of(asked: Spec) -> LabDir:
    """Where the state of this lab lies, or will lie."""
    return LabDir.beside(labs.lab_file(asked.file), asked.lab.name)


def decide(asked: Spec, observed: Observed | None = None) -> Plan:
    """The plan for this host as it is now. Raises SpecError or HostError with every problem."""
    return make_plan(asked, catalog.load(), observed or observe(asked, directory_of(asked)))


def existing_plan(directory: LabDir) -> Plan | None:
    """The plan the lab was last built to; None when there is none or it cannot be read."""
    try:
        return Plan.from_json(directory.plan.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, SpecError):
        return None
