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
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.pending import pending_operation
from orchestrator.paths import LabDir


@dataclass(frozen=True)
class Run:
    """A run of the journal: its verb, begin and end (0: none), its result, the phases it ended, the last it began."""

    verb: str
    began: float
    ended: float = 0.0
    result: str = "killed"
    phases: tuple[str, ...] = ()
    last_phase: str = ""

    def __str__(self) -> str:
        return f"`labctl {self.verb}` of {time.strftime('%H:%M:%S', time.localtime(self.began))}"

    @property
    def where(self) -> str:
        """The phase that a killed run was in, as the end of a sentence."""
        return f" in: {self.last_phase}" if self.last_phase else ""


def last_run(directory: LabDir) -> Run | None:
    """The newest run of the journal; its result is `killed` when it neither ended nor still holds the lab."""
    run: Run | None = None
    for entry in _entries(directory):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if entry["event"] == "RunStarted":
                going = _holds(directory.lock, int(entry["pid"]))
                run = Run(entry["verb"], float(entry["at"]), result="running" if going else "killed")
            elif run and entry["event"] == "RunEnded":
                run = replace(run, ended=entry["at"], result=entry["result"])
            elif run and entry["event"] == "PhaseStarted":
                run = replace(run, last_phase=entry["title"] or entry["phase"])
            elif run and entry["event"] == "PhaseEnded":
                run = replace(run, phases=(*run.phases, entry["phase"]))
    return run


def unfinished(directory: LabDir) -> Run | None:
    """The last run when it never came to its end; None when it ended by itself, well or not."""
    run = last_run(directory)
    return run if run and not run.ended else None


@contextmanager
def recorded(directory: LabDir, verb: str, emit: Emit, inputs: Mapping[str, Any] | None = None) -> Iterator[Emit]:
    """An `Emit` that also keeps a run in the lab's journal: its inputs, begin and end, and those of every phase.

    Notes which killed run is continued. Raises ProviderError when another verb has to be finished first;
    restoring a snapshot is always possible, because it replaces everything.
    """
    pending = pending_operation(directory)
    if pending and verb not in (pending.verb, "snapshot restore"):
        raise ProviderError(f"`{pending.command}` was interrupted and has to be finished first", fix=pending.command)
    if before := unfinished(directory):
        emit(Note(phase=verb, text=f"continuing {before}, which was killed{before.where}"))
    _append(directory, "RunStarted", verb=verb, pid=os.getpid(), **({"inputs": dict(inputs)} if inputs else {}))

    def record(event: Event) -> None:
        if isinstance(event, PhaseStarted | PhaseEnded):
            _append(directory, **{"verb": verb, **event.as_dict()})
        emit(event)

    end = {"result": "failed"}
    try:
        yield record
        end = {"result": "ok"}
    except KeyboardInterrupt:
        end = {"result": "interrupted"}
        raise
    except LabError as problem:
        end["detail"] = problem.message.partition("\n")[0]
        raise
    finally:
        _append(directory, "RunEnded", verb=verb, **end)


@contextmanager
def changing(directory: LabDir, verb: str, emit: Emit, inputs: Mapping[str, Any] | None = None) -> Iterator[Emit]:
    """An `Emit` for the one verb that changes the lab: it holds the lock and is recorded in the journal."""
    with exclusive_lock(directory, verb), recorded(directory, verb, emit, inputs) as recording:
        yield recording


def record_inputs(directory: LabDir, phase: str, inputs: Mapping[str, Any]) -> None:
    """Keep in the journal what the phases from here on work with."""
    _append(directory, "PhaseInputs", phase=phase, inputs=inputs)


def record_result(directory: LabDir, phase: str, result: Mapping[str, Any]) -> None:
    """Keep in the journal what a phase came to."""
    _append(directory, "PhaseResult", phase=phase, result=result)


def _holds(lock: Path, pid: int) -> bool:
    """Whether this process holds the kernel's lock on the file: a number alone may have gone to another process.

    The device is left out of the comparison: some file systems show another one there than to whoever opens the file.
    """
    try:
        inode, locks = lock.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    rows = [line.split() for line in locks.splitlines()]
    return any(row[1] == "FLOCK" and row[4] == str(pid) and row[5].endswith(f":{inode}") for row in rows)


def _entries(directory: LabDir) -> Iterator[dict[str, Any]]:
    """The entries of the journal without lines that a killed run left incomplete."""
    with contextlib.suppress(FileNotFoundError):
        for line in directory.journal.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def _append(directory: LabDir, event: str, **fields: Any) -> None:
    descriptor = os.open(directory.journal, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "a+b") as stream:
        stream.seek(0, os.SEEK_END)
        incomplete = False
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            incomplete = stream.read(1) != b"\n"  # a run was killed while it wrote
        text = json.dumps({"event": event, "at": time.time(), **fields}, ensure_ascii=False) + "\n"
        stream.write((b"\n" if incomplete else b"") + text.encode())
