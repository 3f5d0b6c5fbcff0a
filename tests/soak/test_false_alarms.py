"""A healthy lab is called healthy every time: 200 verifies, 0 false alarms.

LABCTL_SOAK_RUNS changes the number of runs. The verdicts go to bench/results/false-alarms.json, one entry per run;
with LABCTL_SOAK_ADD=1 they are added to those that are there: a soak in pieces.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.drift.conftest import Lab

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / "false-alarms.json"
RUNS = int(os.environ.get("LABCTL_SOAK_RUNS", "200"))
ADD = os.environ.get("LABCTL_SOAK_ADD", "") == "1"


def test_a_healthy_lab_is_called_healthy_every_time(lab: Lab) -> None:
    lab.heal()
    runs: list[dict[str, Any]] = json.loads(RESULTS.read_text())["runs"] if ADD and RESULTS.exists() else []
    done_before = len(runs)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    for _ in range(RUNS):
        began = time.monotonic()
        troubles = lab.troubles()
        run: dict[str, Any] = {"commit": commit[:8], "nodes": len(lab.addresses)}
        run |= {"seconds": round(time.monotonic() - began, 1), "load": round(os.getloadavg()[0], 1)}
        runs.append(run | ({"alarms": troubles} if troubles else {}))
        keep(runs, commit)
    assert [run["alarms"] for run in runs[done_before:] if "alarms" in run] == []


def keep(runs: list[dict[str, Any]], commit: str) -> None:
    """Write what is known after each run: a soak that is interrupted has still proved something."""
    document = {
        "benchmark": "false-alarms",
        "command": f"LABCTL_SOAK_RUNS={RUNS}{' LABCTL_SOAK_ADD=1' if ADD else ''} ./test soak",
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "cores": os.cpu_count(),
        "asked": 200,
        "done": len(runs),
        "with_false_alarms": len([run for run in runs if "alarms" in run]),
        "runs": runs,
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
