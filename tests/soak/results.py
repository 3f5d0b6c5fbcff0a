"""Results of soaks: bench/results, one file each, written after every step."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Hours in one piece are more than many machines have: a soak may add to what it has proved before.
ADD = os.environ.get("LABCTL_SOAK_ADD", "") == "1"
ADDED = " LABCTL_SOAK_ADD=1" if ADD else ""


def path(name: str) -> Path:
    """The file of a soak's results."""
    return ROOT / "bench" / "results" / f"{name}.json"


def earlier_runs(name: str) -> list[dict[str, Any]]:
    """The runs that a soak in pieces goes on from: those on file with LABCTL_SOAK_ADD=1, else none."""
    if not ADD or not path(name).exists():
        return []
    runs: list[dict[str, Any]] = json.loads(path(name).read_text())["runs"]
    return runs


def commit() -> str:
    """The commit that is soaked."""
    argv = ["git", "rev-parse", "HEAD"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def keep(name: str, command: str, facts: Mapping[str, Any]) -> None:
    """Write what is known so far: a soak that is interrupted has still proved something."""
    document = {
        "benchmark": name,
        "command": command,
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cores": os.cpu_count(),
        **facts,
    }
    path(name).write_text(json.dumps(document, indent=1) + "\n")
