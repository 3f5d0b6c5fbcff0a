"""A compiler in the background: waiting for its end with a line of progress, ending it early."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from orchestrator import proc
from orchestrator.errors import HostError

_POLL = 0.2


class Running(Protocol):
    """`pid` leads the process group and is 0 when nothing runs, `log` has its output."""

    pid: int
    log: Path
    started: float


def wait(running: Running, detail: list[str], stage: Callable[[], str], what: str, limit: float) -> None:
    """Wait for its end, its stage as the detail; raises HostError with the log when it failed or takes too long."""
    while True:
        pid, status = os.waitpid(running.pid, os.WNOHANG)
        if pid:
            running.pid = 0
            break
        if time.monotonic() - running.started > limit:
            end(running)
            message = f"{what} took more than {limit / 60:.0f} minutes"
            raise HostError(message, fix=f"tail {running.log}", log=running.log)
        detail.append(stage())
        time.sleep(_POLL)
    if os.waitstatus_to_exitcode(status) != 0:
        lines = [line for line in running.log.read_text(errors="replace").splitlines() if line.strip()]
        cause = lines[-1] if lines else "no output"
        raise HostError(f"{what} failed: {cause}", fix=f"tail -n 40 {running.log}", log=running.log)


def end(running: Running) -> None:
    """End it and all it started; without effect when it has ended."""
    if running.pid:
        pid, running.pid = running.pid, 0
        proc.end_group(pid)
        os.waitpid(pid, 0)
