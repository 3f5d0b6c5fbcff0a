"""What every result file of bench/ says of its origin, and where it lies."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def origin(benchmark: str, command: str) -> dict[str, Any]:
    """Return the head of a result: what was measured, how, when, of which commit, and on what machine."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "benchmark": benchmark,
        "command": command,
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "cores": os.cpu_count(),
        "cpu": model[1] if model else "",
        "load": round(os.getloadavg()[0], 1),
    }


def save(document: dict[str, Any]) -> Path:
    """Write a result to bench/results under the name of its benchmark; return the file."""
    file = ROOT / "bench" / "results" / f"{document['benchmark']}.json"
    file.write_text(json.dumps(document, indent=2) + "\n")
    return file
