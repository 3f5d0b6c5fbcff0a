"""The operation that leaves a lab incomplete until it ends, and the command that finishes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from orchestrator.paths import LabDir, write_private


@dataclass(frozen=True)
class PendingOperation:
    """A verb that was begun and has not ended, and the command that finishes it."""

    verb: str
    command: str


def begin_operation(directory: LabDir, verb: str, command: str) -> None:
    """Record that the lab needs this command, whatever kills it, until `finish_operation` is called."""
    write_private(_file(directory), json.dumps({"verb": verb, "command": command}) + "\n")


def finish_operation(directory: LabDir) -> None:
    """Record that the lab is complete again."""
    _file(directory).unlink(missing_ok=True)


def pending_operation(directory: LabDir) -> PendingOperation | None:
    """The operation that has to be finished before any other; None when the lab is complete."""
    try:
        kept = json.loads(_file(directory).read_text(encoding="utf-8"))
        return PendingOperation(str(kept["verb"]), str(kept["command"]))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _file(directory: LabDir) -> Path:
    return directory.root / "half.json"
