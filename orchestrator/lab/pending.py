"""An operation that leaves the lab incomplete until it has ended, and the command that finishes it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from orchestrator.paths import LabDir, write_private


@dataclass(frozen=True)
class PendingOperation:
    """A verb that leaves the lab in pieces until it is through, and the command that finishes it."""

    verb: str
    command: str


def begin_operation(directory: LabDir, verb: str, command: str) -> None:
    """Note that until `finished` is called only this command makes sense of the lab, whatever kills it meanwhile."""
    write_private(directory.root / "half.json", json.dumps({"verb": verb, "command": command}) + "\n")


def finish_operation(directory: LabDir) -> None:
    """The lab is whole again."""
    (directory.root / "half.json").unlink(missing_ok=True)


def pending_operation(directory: LabDir) -> PendingOperation | None:
    """What was begun and has to be finished before anything else; None when the lab is whole."""
    try:
        kept = json.loads((directory.root / "half.json").read_text(encoding="utf-8"))
        return PendingOperation(str(kept["verb"]), str(kept["command"]))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None
