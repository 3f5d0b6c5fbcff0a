"""Daemons that labctl runs itself: whose process an id is, how it ends, and a file lock that counts the users."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path


class Lock:
    """A kernel file lock whose file may be removed by its holder: waiters notice and take the new file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, timeout: float = 0.0) -> bool:
        """Take the lock; False when somebody else still holds it after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                    self._descriptor = descriptor
                    return True
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(descriptor)
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)

    def upgrade(self) -> bool:
        """Make a shared lock exclusive without giving it up; False while somebody else shares it."""
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back; `remove` takes its file away too (only while holding it exclusively)."""
        if self._descriptor is None:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it does not exist (or is a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def end_process(pid: int, seconds: float) -> None:
    """Ask a process to end, and kill it when it still runs after `seconds`."""
    started = start_time(pid)
    for sign, limit in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        if started is None or _has_ended(pid, started, limit):
            return


def _has_ended(pid: int, started: int, seconds: float) -> bool:
    """Wait for the end of a process, reaping it when it is our child."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if start_time(pid) != started:
            return True
        time.sleep(0.05)
    return False
