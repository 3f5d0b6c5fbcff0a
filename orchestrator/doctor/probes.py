"""Facts of the host that no other module knows: limits, directories, left-over state. Changes nothing."""

from __future__ import annotations

import json
import os
import resource
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator import proc
from orchestrator.checks.host import read_text
from orchestrator.model import Plan


def number(path: str) -> int:
    """The first number in a file; 0 when there is none."""
    words = read_text(path).split()
    return int(words[0]) if words and words[0].isdigit() else 0


def open_files() -> int:
    """How many files a program of this user may open, once it asks for all it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def free_inodes(path: Path) -> int:
    """Inodes that are free where `path` lies; file systems without a count say so with 0 of 0."""
    state = os.statvfs(path)
    return state.f_favail if state.f_files else 2**31


def runs_programs(directory: Path) -> bool:
    """Whether a program put into this directory can be run."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="labctl-") as place:
        script = Path(place) / "probe"
        script.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
        script.chmod(0o700)
        try:
            return proc.run([str(script)], check=False, timeout=5).ok
        except OSError:
            return False


def is_writable(directory: Path) -> bool:
    """Whether a file can be made in this directory."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".labctl-"):
            return True
    except OSError:
        return False


def _is_running(pid: object) -> bool:
    return Path("/proc", str(pid)).exists()


def dead_holders(state: Path) -> list[str]:
    """Notes of lock holders of this host that no longer live, in a `.labctl` directory."""
    return [str(note) for note in sorted(state.glob("*/lock.holder")) if not _is_held(note)]


def _is_held(note: Path) -> bool:
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        return bool(holder["host"] != socket.gethostname() or _is_running(holder["pid"]))
    except (OSError, KeyError, TypeError, ValueError):
        return False


def half_written(state: Path) -> list[str]:
    """Temporary files that killed commands left in a `.labctl` directory: `.NAME.PID`, PID being gone."""
    files = [(path, path.name.rpartition(".")[2]) for path in sorted(state.glob("*/.*.*")) if path.is_file()]
    return [str(path) for path, pid in files if pid.isdigit() and not _is_running(pid)]


def damaged_states(state: Path) -> list[str]:
    """What is wrong with the labs in a `.labctl` directory, in words."""
    problems = []
    for directory in sorted(state.glob("*/")):
        if directory.stat().st_mode & 0o077:
            problems.append(f"{directory} can be read by others")
        plan = directory / "plan.json"
        if not plan.exists():
            continue
        try:
            Plan.from_json(plan.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            problems.append(f"{plan} cannot be read")
        if not (directory / "identity.json").exists():
            problems.append(f"{directory} has no identity.json")
    return problems


def damaged_files(sizes: Mapping[Path, int]) -> list[str]:
    """The files that are missing or do not have their size in bytes, in words."""
    problems = []
    for file, size in sizes.items():
        if not file.is_file():
            problems.append(f"{file} is missing")
        elif file.stat().st_size != size:
            problems.append(f"{file} has {file.stat().st_size} instead of {size} bytes")
    return problems


def newest_file(package: Path) -> float:
    """When the newest file of this installation was written, in seconds since the epoch."""
    return max(path.stat().st_mtime for path in package.glob("*.py"))
