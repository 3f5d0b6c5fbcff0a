"""The errors that labctl raises, each with the exit code of the command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of the `labctl` command; docs/reference/exit-codes.md is checked against this table."""

    OK = 0
    BUG = 1
    USAGE = 2
    HOST = 3
    PROVIDER = 4
    CONVERGE = 5
    VERIFY = 6
    DRILL = 7
    LOCKED = 8
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, where, and the command that fixes it.

    `where` is a field path with its file and line (`lab.yml:7 workers.memory`), a node name, or a
    part of the host. `fix` is an instruction, a command whenever there is one.
    """

    what: str
    where: str = ""
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n    fix: {self.fix}" if self.fix else text


class LabError(Exception):
    """A failure that a user can cause or fix: message, fix, log path and exit code.

    Only cli/main.py catches it, prints it (at most 12 lines) and turns it into an exit code.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        log: Path | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.log = log
        self.problems = tuple(problems)


class SpecError(LabError):
    """lab.yml or an option is invalid, or combines what cannot work together."""

    exit_code = ExitCode.USAGE


class HostError(LabError):
    """This host is not ready: something is missing, busy, full or forbidden."""

    exit_code = ExitCode.HOST


class ProviderError(LabError):
    """The provider failed to create, find, start, stop or remove a machine."""

    exit_code = ExitCode.PROVIDER


class ConvergeError(LabError):
    """A role failed on a node."""

    exit_code = ExitCode.CONVERGE


class VerifyError(LabError):
    """The lab runs, but at least one check failed."""

    exit_code = ExitCode.VERIFY


class LockedError(LabError):
    """Another labctl command is working on this lab."""

    exit_code = ExitCode.LOCKED


class Interrupted(LabError):
    """The user pressed Ctrl-C; the same command continues."""

    exit_code = ExitCode.INTERRUPTED
