"""A command at a terminal of its own, whose user answers and waits no longer than a deadline."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

END_OF_INPUT = "\x04"


def answered(argv: Sequence[str], home: Path, answers: Sequence[str], *, seconds: float = 60) -> tuple[int, str]:
    """Exit code and terminal of a command whose user types these answers.

    Behind them the input ends, as by Ctrl-D, so that a further question is aborted at once. One that hangs is killed:
    the AssertionError shows what the terminal said.
    """
    ours, theirs = pty.openpty()
    running = subprocess.Popen(argv, cwd=home, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, ("".join(f"{answer}\n" for answer in answers) + END_OF_INPUT).encode())
    try:
        said = _read_to_end(ours, time.monotonic() + seconds)
        return running.wait(timeout=5), said
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def _read_to_end(terminal: int, deadline: float) -> str:
    said = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            return said.decode()
        said += piece
    raise AssertionError(f"still running at the deadline; the terminal says:\n{said.decode(errors='replace')}")
