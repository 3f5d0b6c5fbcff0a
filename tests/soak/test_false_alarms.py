"""A healthy lab is called healthy every time: 200 verifies, 0 false alarms.

LABCTL_SOAK_RUNS changes the number of runs. The verdicts go to bench/results/false-alarms.json, one entry per run;
with LABCTL_SOAK_ADD=1 they are added to those that are there: a soak in pieces.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.drift.conftest import Lab
from tests.soak import results

pytestmark = pytest.mark.real

NAME = "false-alarms"
RUNS = int(os.environ.get("LABCTL_SOAK_RUNS", "200"))


def test_a_healthy_lab_is_called_healthy_every_time(lab: Lab) -> None:
    lab.heal()
    runs = results.earlier_runs(NAME)
    done_before = len(runs)
    commit = results.commit()[:8]
    for _ in range(RUNS):
        began = time.monotonic()
        troubles = lab.troubles()
        run: dict[str, Any] = {"commit": commit, "nodes": len(lab.addresses)}
        run |= {"seconds": round(time.monotonic() - began, 1), "load": round(os.getloadavg()[0], 1)}
        runs.append(run | ({"alarms": troubles} if troubles else {}))
        keep(runs)
    assert [run["alarms"] for run in runs[done_before:] if "alarms" in run] == []


def keep(runs: list[dict[str, Any]]) -> None:
    """Write the runs so far and how many of them raised an alarm."""
    command = f"LABCTL_SOAK_RUNS={RUNS}{results.ADDED} ./test soak"
    alarmed = len([run for run in runs if "alarms" in run])
    results.keep(NAME, command, {"asked": 200, "done": len(runs), "with_false_alarms": alarmed, "runs": runs})
