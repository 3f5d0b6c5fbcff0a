"""The lock of a lab: one command changes it at a time, and a refused one says who holds it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import LockedError
from orchestrator.paths import LabDir, write_private

# How long a refused command waits for the holder to have noted who it is.
HOLDER_SECONDS = 0.15


def holder_file(directory: LabDir) -> Path:
    """Where the command that changes the lab notes itself while it works."""
    return directory.lock.with_suffix(".holder")


@contextmanager
def exclusive_lock(directory: LabDir, verb: str) -> Iterator[None]:
    """Hold the lock of this lab while the block runs. Raises LockedError naming the holder.

    The kernel releases the lock when its holder dies; the note beside it serves the message only.
    """
    from filelock import FileLock, Timeout

    directory.create()
    lock = FileLock(directory.lock, timeout=0, mode=0o600)
    note = holder_file(directory)
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
    """Who holds the lock; a holder that has just taken it gets a little time to write its note."""
    deadline = time.monotonic() + HOLDER_SECONDS
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, KeyError, TypeError, ValueError):
            held = json.loads(note.read_text(encoding="utf-8"))
            since = time.strftime("%H:%M:%S", time.localtime(held["since"]))
            by = f"process {held['pid']} on {held['host']}, since {since}"
            # A note whose writer is gone is that of a killed holder, not of the one that holds the lock now.
            if held["host"] != socket.gethostname() or Path("/proc", str(held["pid"])).exists():
                return f"`labctl {held['verb']}` is working on this lab: {by}"
        time.sleep(0.01)
    return "another labctl command is working on this lab"
