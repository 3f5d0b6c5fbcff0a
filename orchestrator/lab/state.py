"""The lab of a command: its state directory, identity and saved plan."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.model import Plan, SourceAccess
from orchestrator.paths import LabDir, write_private
from orchestrator.providers.base import LabIdentity

DEFAULT_FILE = "lab.yml"


@dataclass(frozen=True)
class Lab:
    """A lab that exists on disk: its state directory and the plan it was last built to."""

    directory: LabDir
    plan: Plan

    @property
    def identity(self) -> LabIdentity:
        return LabIdentity(self.plan.name, self.plan.uuid, self.plan.owner)


def lab_file(given: Path | None) -> Path:
    """The given lab.yml, else ./lab.yml, which need not exist."""
    return given if given is not None else Path.cwd() / DEFAULT_FILE


def open_lab(given: Path | None) -> Lab:
    """The lab of this directory, as it was last provisioned. Raises SpecError when there is none.

    The saved plan counts, not lab.yml: somebody who is halfway through editing that file can still look
    at the lab, log in to it and destroy it. LABCTL_LAB_DIR names a state directory outright.
    """
    named = os.environ.get("LABCTL_LAB_DIR")
    directory = LabDir(Path(named)) if named and given is None else _find_directory(lab_file(given))
    try:
        return Lab(directory, saved_plan(directory))
    except FileNotFoundError:
        raise SpecError(f"there is no lab in {directory.root}", fix="labctl provision") from None
    except ValueError as problem:
        raise SpecError(
            f"{directory.plan} is damaged: {str(problem).splitlines()[0]}",
            fix="labctl provision   (writes it again from lab.yml; the machines are found again)",
        ) from None


def _find_directory(file: Path) -> LabDir:
    """The state directory beside a lab file: the one of the name in it, or the only one there is."""
    base = file.resolve().parent / ".labctl"
    existing = sorted({path.parent for path in base.glob("*/plan*.json")}) if base.is_dir() else []
    if not existing:
        raise SpecError(f"there is no lab in {base.parent}", fix="labctl provision")
    if len(existing) == 1:
        return LabDir(existing[0])
    from orchestrator import spec

    name = spec.load(file if file.exists() else None).lab.name
    if base / name in existing:
        return LabDir(base / name)
    names = ", ".join(path.name for path in existing)
    raise SpecError(
        f"{base.parent} has several labs ({names}), none called {name}", fix="labctl --lab FILE with its name"
    )


def saved_plan(directory: LabDir) -> Plan:
    """The plan the lab was last built to; its copy when somebody deleted or damaged the file.

    Raises FileNotFoundError when there is none, ValueError when neither can be read.
    """
    error: FileNotFoundError | ValueError = FileNotFoundError(directory.plan)
    for file in (directory.plan, directory.plan_copy):
        try:
            return Plan.from_json(file.read_text(encoding="utf-8"))
        except ValueError as problem:
            error = problem
        except FileNotFoundError:
            continue
    raise error


def lab_identity(directory: LabDir, name: str) -> LabIdentity:
    """The identity kept in the state directory, in its plan if need be, or a new one; nothing is written here."""
    known = str(uuid.uuid4())
    with suppress(FileNotFoundError, ValueError):
        known = saved_plan(directory).uuid
    with suppress(FileNotFoundError, KeyError, TypeError, ValueError):
        known = str(json.loads(directory.identity.read_text(encoding="utf-8"))["uuid"])
    return LabIdentity(name, known, str(directory.root.parent.parent))


def save_plan(directory: LabDir, plan: Plan) -> None:
    """Write the plan and the identity; each file is replaced as a whole, so a killed run leaves the old or the new."""
    directory.create()
    write_private(directory.identity, json.dumps(asdict(LabIdentity(plan.name, plan.uuid, plan.owner))) + "\n")
    for file in (directory.plan, directory.plan_copy):
        write_private(file, plan.as_json())


def save_source_access(directory: LabDir, access: SourceAccess) -> None:
    """Write how the nodes reach packages during the run, for the inventory."""
    write_private(directory.source_access, json.dumps(asdict(access)) + "\n")


def load_source_access(directory: LabDir) -> SourceAccess | None:
    """How the nodes reached packages in the last run; None before the first."""
    try:
        return SourceAccess(**json.loads(directory.source_access.read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None
