"""The lab a command is about: its state directory, identity, saved plan and lock."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import LockedError, SpecError
from orchestrator.model import Plan, SourceAccess
from orchestrator.paths import LabDir
from orchestrator.providers.base import LabIdentity

DEFAULT_FILE = "lab.yml"
# How long a refused command waits for the holder to have noted who it is.
HOLDER_SECONDS = 0.15


@dataclass(frozen=True)
class Lab:
    """A lab that exists on disk: where its state lies and the plan it was last built to."""

    directory: LabDir
    plan: Plan

    @property
    def identity(self) -> LabIdentity:
        return LabIdentity(self.plan.name, self.plan.uuid, self.plan.owner)


def lab_file(given: Path | None) -> Path:
    """The lab.yml that is meant: the one given, else ./lab.yml, which need not exist."""
    return given if given is not None else Path.cwd() / DEFAULT_FILE


def open_lab(given: Path | None) -> Lab:
    """The lab of this directory, as it was last provisioned. Raises SpecError when there is none.

    The saved plan counts, not lab.yml: somebody who is halfway through editing that file can still look
    at the lab, log in to it and destroy it. LABCTL_LAB_DIR names a state directory outright.
    """
    named = os.environ.get("LABCTL_LAB_DIR")
    directory = LabDir(Path(named)) if named and given is None else _find(lab_file(given))
    try:
        return Lab(directory, saved_plan(directory))
    except FileNotFoundError:
        raise SpecError(f"there is no lab in {directory.root}", fix="labctl provision") from None
    except ValueError as problem:
        raise SpecError(
            f"{directory.plan} is damaged: {str(problem).splitlines()[0]}",
            fix="labctl provision   (writes it anew from lab.yml; the machines are found again)",
        ) from None


def _find(file: Path) -> LabDir:
    """The state directory beside a lab file: the one of the name in it, or the only one there is."""
    base = file.resolve().parent / ".labctl"
    found = sorted({path.parent for path in base.glob("*/plan*.json")}) if base.is_dir() else []
    if not found:
        raise SpecError(f"there is no lab in {base.parent}", fix="labctl provision")
    if len(found) == 1:
        return LabDir(found[0])
    from orchestrator import spec

    name = spec.load(file if file.exists() else None).lab.name
    if base / name in found:
        return LabDir(base / name)
    names = ", ".join(path.name for path in found)
    raise SpecError(
        f"{base.parent} has several labs ({names}), none called {name}", fix="labctl --lab FILE with its name"
    )


def saved_plan(directory: LabDir) -> Plan:
    """The plan the lab was last built to; its copy when somebody deleted or damaged the file.

    Raises FileNotFoundError when there is none, ValueError when neither can be read.
    """
    trouble: FileNotFoundError | ValueError = FileNotFoundError(directory.plan)
    for file in (directory.plan, directory.plan_copy):
        try:
            return Plan.from_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except ValueError as problem:
            trouble = problem
    raise trouble


def identity(directory: LabDir, name: str) -> LabIdentity:
    """The identity kept in the state directory, in its plan if need be, or a new one; nothing is written here."""
    owner = str(directory.root.parent.parent)
    try:
        kept = json.loads(directory.identity.read_text(encoding="utf-8"))
        return LabIdentity(name, str(kept["uuid"]), owner)
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        pass
    try:
        return LabIdentity(name, saved_plan(directory).uuid, owner)
    except (FileNotFoundError, ValueError):
        return LabIdentity(name, str(uuid.uuid4()), owner)


def save(directory: LabDir, plan: Plan) -> None:
    """Keep the plan and the identity; each file is replaced as a whole, so a killed run leaves the old or the new."""
    directory.create()
    write_private(directory.identity, json.dumps(asdict(LabIdentity(plan.name, plan.uuid, plan.owner))) + "\n")
    for file in (directory.plan, directory.plan_copy):
        write_private(file, plan.as_json())


def save_access(directory: LabDir, access: SourceAccess) -> None:
    """Keep how the nodes reach packages during the run, for the dynamic inventory."""
    write_private(directory.source_access, json.dumps(asdict(access)) + "\n")


def load_access(directory: LabDir) -> SourceAccess | None:
    """How the nodes reached packages in the last run; None before the first."""
    try:
        return SourceAccess(**json.loads(directory.source_access.read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None


def write_private(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600 in one step."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(path)


def write_private_copy(source: Path, target: Path) -> Path:
    """Replace `target` by a copy of a text file, mode 0600; returns `target`."""
    write_private(target, source.read_text(encoding="utf-8"))
    return target


@contextmanager
def exclusive(directory: LabDir, verb: str) -> Iterator[None]:
    """Be the one command that changes this lab. Raises LockedError naming the holder.

    The kernel drops the lock with its holder's life, so a dead holder needs no clean-up; who holds it is
    noted beside the lock for the message only.
    """
    from filelock import FileLock, Timeout

    directory.create()
    lock = FileLock(directory.lock, timeout=0, mode=0o600)
    note = directory.lock.with_suffix(".holder")
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(_holder(note), fix="wait for it to end, or end it; then run this again") from None
    try:
        holder = {"verb": verb, "pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        write_private(note, json.dumps(holder) + "\n")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    """Who holds the lock, in words; a holder that took it this very moment gets a little time to say so."""
    deadline = time.monotonic() + HOLDER_SECONDS
    while True:
        try:
            held = json.loads(note.read_text(encoding="utf-8"))
            since = time.strftime("%H:%M:%S", time.localtime(held["since"]))
            by = f"process {held['pid']} on {held['host']}, since {since}"
            # A note whose writer is gone is that of a killed holder, not of the one that holds the lock now.
            if held["host"] != socket.gethostname() or Path("/proc", str(held["pid"])).exists():
                return f"`labctl {held['verb']}` is working on this lab: {by}"
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            pass
        if time.monotonic() > deadline:
            return "another labctl command is working on this lab"
        time.sleep(0.01)


@dataclass(frozen=True)
class Half:
    """A verb that leaves the lab in pieces until it is through, and the command that finishes it."""

    verb: str
    command: str


def must_finish(directory: LabDir, verb: str, command: str) -> None:
    """Note that until `finished` is called only this command makes sense of the lab, whatever kills it meanwhile."""
    write_private(directory.root / "half.json", json.dumps({"verb": verb, "command": command}) + "\n")


def finished(directory: LabDir) -> None:
    """The lab is whole again."""
    (directory.root / "half.json").unlink(missing_ok=True)


def half_done(directory: LabDir) -> Half | None:
    """What was begun and has to be finished before anything else; None when the lab is whole."""
    try:
        kept = json.loads((directory.root / "half.json").read_text(encoding="utf-8"))
        return Half(str(kept["verb"]), str(kept["command"]))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None
