"""The lab a command is about: its state directory, identity, saved plan, lock and journal."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import LabError, LockedError, ProviderError, SpecError
from orchestrator.events import Emit, Event, Note, PhaseEnded, PhaseStarted
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
class Unfinished:
    """A run that never came to its end: its verb, when it began, and the phase it was in."""

    verb: str
    began: str
    phase: str


def unfinished(directory: LabDir) -> Unfinished | None:
    """The last run of the journal when it was killed; None when it ended by itself, well or not."""
    run: Unfinished | None = None
    for entry in _journal(directory):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if entry["event"] == "RunStarted":
                run = Unfinished(entry["verb"], time.strftime("%H:%M:%S", time.localtime(entry["at"])), "")
            elif entry["event"] == "RunEnded":
                run = None
            elif entry["event"] == "PhaseStarted" and run is not None:
                run = Unfinished(run.verb, run.began, entry["title"] or entry["phase"])
    return run


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


@contextmanager
def recorded(directory: LabDir, verb: str, emit: Emit, inputs: Mapping[str, Any] | None = None) -> Iterator[Emit]:
    """An `Emit` that also keeps a run in the lab's journal: its inputs, begin and end, and those of every phase.

    Says first which killed run is continued. Raises ProviderError when another verb has to be finished first;
    restoring a snapshot is always possible, because it replaces everything.
    """
    half = half_done(directory)
    if half and verb not in (half.verb, "snapshot restore"):
        raise ProviderError(f"`{half.command}` was interrupted and has to be finished first", fix=half.command)
    if before := unfinished(directory):
        where = f" in: {before.phase}" if before.phase else ""
        emit(Note(phase=verb, text=f"continuing `labctl {before.verb}` of {before.began}, which was killed{where}"))
    begun = {"event": "RunStarted", "verb": verb, "pid": os.getpid(), "at": time.time()}
    _append(directory, {**begun, "inputs": dict(inputs)} if inputs else begun)
    result, detail = "failed", ""
    try:
        yield journaled(directory, verb, emit)
        result = "ok"
    except KeyboardInterrupt:
        result = "interrupted"
        raise
    except LabError as problem:
        detail = problem.message.splitlines()[0] if problem.message else ""
        raise
    finally:
        ended = {"event": "RunEnded", "verb": verb, "result": result, "at": time.time()}
        _append(directory, {**ended, "detail": detail} if detail else ended)


def note_inputs(directory: LabDir, phase: str, inputs: Mapping[str, Any]) -> None:
    """Keep in the journal what the phases from here on work with."""
    _append(directory, {"event": "PhaseInputs", "phase": phase, "at": time.time(), "inputs": inputs})


def note_result(directory: LabDir, phase: str, result: Mapping[str, Any]) -> None:
    """Keep in the journal what a phase came to."""
    _append(directory, {"event": "PhaseResult", "phase": phase, "at": time.time(), "result": result})


@dataclass(frozen=True)
class Run:
    """A run of the journal: its verb, when it began and ended (0: it did not), its result, the phases it ended."""

    verb: str
    began: float
    ended: float = 0.0
    result: str = "killed"
    phases: tuple[str, ...] = ()


def last_run(directory: LabDir) -> Run | None:
    """The newest run of the journal; one that neither ended nor goes on is `killed`."""
    run: Run | None = None
    for entry in _journal(directory):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if entry["event"] == "RunStarted":
                going = _holds(directory.lock, int(entry["pid"]))
                run = Run(entry["verb"], entry["at"], result="running" if going else "killed")
            elif run and entry["event"] == "RunEnded":
                run = replace(run, ended=entry["at"], result=entry["result"])
            elif run and entry["event"] == "PhaseEnded":
                run = replace(run, phases=(*run.phases, entry["phase"]))
    return run


def _holds(lock: Path, pid: int) -> bool:
    """Whether this process holds the kernel's lock on the file: a number alone may have gone to another process.

    The device is left out of the comparison: some file systems show another one there than to whoever opens the file.
    """
    try:
        inode, held = lock.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    rows = [line.split() for line in held.splitlines()]
    return any(row[1] == "FLOCK" and row[4] == str(pid) and row[5].endswith(f":{inode}") for row in rows)


def _journal(directory: LabDir) -> Iterator[dict[str, Any]]:
    """The entries of the journal; a line that a killed run left half is passed over."""
    try:
        lines = directory.journal.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def journaled(directory: LabDir, verb: str, emit: Emit) -> Emit:
    """An `Emit` that also appends the begin and end of every phase to the lab's journal."""

    def record(event: Event) -> None:
        if isinstance(event, PhaseStarted | PhaseEnded):
            _append(directory, {"verb": verb, **event.as_dict()})
        emit(event)

    return record


def _append(directory: LabDir, entry: Mapping[str, Any]) -> None:
    descriptor = os.open(directory.journal, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "a+b") as stream:
        stream.seek(0, os.SEEK_END)
        half = False
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            half = stream.read(1) != b"\n"  # a run was killed while it wrote
        text = json.dumps(entry, ensure_ascii=False) + "\n"
        stream.write((b"\n" if half else b"") + text.encode())
