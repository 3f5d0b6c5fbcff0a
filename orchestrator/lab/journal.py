"""The journal of a lab: which runs there were, how far each came, and which one was killed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import LabError, ProviderError
from orchestrator.events import Emit, Event, Note, PhaseEnded, PhaseStarted
from orchestrator.lab.pending import pending_operation
from orchestrator.paths import LabDir


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


@contextmanager
def recorded(directory: LabDir, verb: str, emit: Emit, inputs: Mapping[str, Any] | None = None) -> Iterator[Emit]:
    """An `Emit` that also keeps a run in the lab's journal: its inputs, begin and end, and those of every phase.

    Says first which killed run is continued. Raises ProviderError when another verb has to be finished first;
    restoring a snapshot is always possible, because it replaces everything.
    """
    half = pending_operation(directory)
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
