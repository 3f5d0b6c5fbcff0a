"""Asks the host: files of /proc and /sys, programs and their versions, left-over state. Changes nothing."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from orchestrator import proc
from orchestrator.model import Plan

Value = TypeVar("Value")

ANSWER_SECONDS = 8.0
# Where programs of the system lie that a user's PATH often lacks.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


class Once(Generic[Value]):
    """A costly look that several checks need: the first that asks takes it, the others wait for the same answer."""

    def __init__(self, look: Callable[[], Value]) -> None:
        self._look = look
        self._lock = Lock()
        self._values: list[Value] = []

    def __call__(self) -> Value:
        with self._lock:
            if not self._values:
                self._values.append(self._look())
            return self._values[0]


def read(path: str) -> str:
    """The text of a file; empty when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def number(path: str) -> int:
    """The first number in a file; 0 when there is none."""
    words = read(path).split()
    return int(words[0]) if words and words[0].isdigit() else 0


def answer(argv: Sequence[str]) -> str | None:
    """What a program prints on either stream; None when it is not installed."""
    program = shutil.which(argv[0], path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")
    if program is None:
        return None
    result = proc.run([program, *argv[1:]], check=False, timeout=ANSWER_SECONDS)
    return result.stdout + result.stderr


def cpu_flags() -> tuple[str, ...]:
    """The processor's flags."""
    lines = read("/proc/cpuinfo").splitlines()
    return tuple(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def cgroup_files() -> tuple[str, str]:
    """/proc/cgroups, and the controllers of the v2 hierarchy."""
    return read("/proc/cgroups"), read("/sys/fs/cgroup/cgroup.controllers")


def open_files() -> int:
    """How many files a program of this user may open, once it asks for all it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def free_inodes(path: Path) -> int:
    """Inodes that are free where `path` lies; file systems without a count say so with 0 of 0."""
    state = os.statvfs(path)
    return state.f_favail if state.f_files else 2**31


def runs_programs(directory: str) -> bool:
    """Whether a program put into this directory can be run."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="labctl-") as place:
        script = Path(place) / "probe"
        script.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
        script.chmod(0o700)
        try:
            return proc.run([str(script)], check=False, timeout=5).ok
        except OSError:
            return False


def writable(directory: Path) -> bool:
    """Whether a file can be made in this directory."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".labctl-"):
            return True
    except OSError:
        return False


def dead_holders(state: Path) -> list[str]:
    """Notes of lock holders of this host that no longer live, in a `.labctl` directory."""
    found = []
    for note in sorted(state.glob("*/lock.holder")) if state.is_dir() else ():
        try:
            held = json.loads(note.read_text(encoding="utf-8"))
            here = held["host"] == socket.gethostname()
            if here and not Path("/proc", str(held["pid"])).exists():
                found.append(str(note))
        except (OSError, KeyError, TypeError, ValueError):
            found.append(str(note))
    return found


def half_written(state: Path) -> list[str]:
    """Temporary files that killed commands left in a `.labctl` directory: `.NAME.PID`, PID being gone."""
    found = []
    for path in sorted(state.glob("*/.*.*")) if state.is_dir() else ():
        pid = path.name.rpartition(".")[2]
        if path.is_file() and pid.isdigit() and not Path("/proc", pid).exists():
            found.append(str(path))
    return found


def damaged_states(state: Path) -> list[str]:
    """What is wrong with the labs in a `.labctl` directory, in words."""
    found = []
    for directory in sorted(state.iterdir()) if state.is_dir() else ():
        if not directory.is_dir():
            continue
        if directory.stat().st_mode & 0o077:
            found.append(f"{directory} can be read by others")
        plan = directory / "plan.json"
        if not plan.exists():
            continue
        try:
            Plan.from_json(plan.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found.append(f"{plan} cannot be read")
        if not (directory / "identity.json").exists():
            found.append(f"{directory} has no identity.json")
    return found


def newest_file(package: Path) -> float:
    """When the newest file of this installation was written, in seconds since the epoch."""
    return max(path.stat().st_mtime for path in package.glob("*.py"))
