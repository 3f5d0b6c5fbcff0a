"""50 drills in a row on one lab: it is verified after each, and neither its memory nor its state grows.

LABCTL_SOAK_DRILLS changes the number, LABCTL_DRILLS_HOME names a lab that is there. Each drill is begun, looked at,
solved and reset; times and sizes go to bench/results/drills-in-a-row.json.
"""

from __future__ import annotations

import itertools
import os
import resource
import statistics
from pathlib import Path
from typing import Any

import pytest

from orchestrator import host
from orchestrator.drills.catalog import reason_impossible
from orchestrator.events import Event, discard
from orchestrator.lab.state import Lab, open_lab
from orchestrator.verbs.drill import grade
from orchestrator.verbs.drill.exercise import reset as reset_drill
from orchestrator.verbs.drill.exercise import start as start_drill
from tests.drills.test_drills import catalog, left_behind, symptom_seconds, timed, user, wording
from tests.e2e.conftest import User
from tests.soak import results

pytestmark = pytest.mark.real

__all__ = ["user"]

DRILLS = int(os.environ.get("LABCTL_SOAK_DRILLS", "50"))
# For which Kubernetes itself needs its 40 seconds or a machine its start, tell nothing of labctl's own time.
ROUND = (
    "run-or-create",
    "kubectl-anywhere",
    "bridge-filter-off",
    "taint-toleration",
    "wrong-selector",
    "readiness-probe",
    "forwarding-off",
    "missing-configmap",
    "nodeport-blocked",
    "forgotten-cordon",
)
# What a lab's own records may grow by for one drill: its line of progress and the journal of its runs.
STATE_BYTES = 4 * 1024
MEMORY_MEBIBYTES = 150


def state_bytes(lab: Lab) -> int:
    """What the lab's state directory takes."""
    return sum(path.lstat().st_size for path in lab.directory.root.rglob("*") if path.is_file())


def memory_of_host() -> int:
    """MiB in use on this host, which all container nodes are part of."""
    found = host.parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii"))
    return found["MemTotal"] - found["MemAvailable"]


def test_fifty_drills_in_a_row_leave_the_lab_as_it_was(user: User) -> None:
    lab = open_lab(user.home / "lab.yml")
    possible = [slug for slug in ROUND if not reason_impossible(catalog().drills[slug], lab.plan)]
    assert possible, "this lab can have none of the drills of the round"
    rows: list[dict[str, Any]] = []
    for slug in itertools.islice(itertools.cycle(possible), DRILLS):
        rows.append(drill_once(lab, slug))
        keep(rows)
    first, last = rows[0], rows[-1]
    assert last["state_bytes"] - first["state_bytes"] <= (len(rows) - 1) * STATE_BYTES
    assert last["host_mebibytes"] - first["host_mebibytes"] < MEMORY_MEBIBYTES
    assert last["own_mebibytes"] - first["own_mebibytes"] < MEMORY_MEBIBYTES


def drill_once(lab: Lab, slug: str) -> dict[str, Any]:
    """Do one drill as a student does who knows the solution; its times in seconds and what the lab takes afterwards."""
    told: list[Event] = []
    start = timed(lambda: start_drill(lab, slug, given=None, wait=True, wording=wording(lab), emit=told.append))
    findings: list[bool] = []
    check = timed(lambda: findings.extend(one.reached for one in grade.check(lab, wording=wording(lab)).findings))
    assert not all(findings), f"{slug}: nothing is broken"
    solve = timed(lambda: grade.solve(lab, emit=discard, wording=wording(lab)))
    # Verifies the lab as well: raises when verify is not green.
    reset = timed(lambda: reset_drill(lab, emit=discard, wording=wording(lab)))
    assert not left_behind(lab), slug
    waited = symptom_seconds(told)
    times = {"start": start - waited, "waited": waited, "check": check, "solve": solve, "reset": reset}
    return {
        "drill": slug,
        **{name: round(seconds, 1) for name, seconds in times.items()},
        "load": round(os.getloadavg()[0], 1),
        "state_bytes": state_bytes(lab),
        "host_mebibytes": memory_of_host(),
        "own_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def keep(rows: list[dict[str, Any]]) -> None:
    """Write the drills so far, with the median and the slowest of each step."""
    steps = {step: [row[step] for row in rows] for step in ("start", "check", "solve", "reset")}
    facts = {
        "asked": DRILLS,
        "done": len(rows),
        "medians": {step: statistics.median(seconds) for step, seconds in steps.items()},
        "slowest": {step: max(seconds) for step, seconds in steps.items()},
        "rows": rows,
    }
    results.keep("drills-in-a-row", f"LABCTL_SOAK_DRILLS={DRILLS} ./test soak -- -k fifty_drills", facts)
