"""50 drills in a row on one lab: it is verified after each, and neither its memory nor its state grows."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import host
from orchestrator.drills.catalog import reason_impossible
from orchestrator.drills.schema import Drill
from orchestrator.events import Event, discard
from orchestrator.lab.state import Lab, open_lab
from orchestrator.verbs.drill import grade
from orchestrator.verbs.drill.exercise import reset as reset_drill
from orchestrator.verbs.drill.exercise import start as start_drill
from tests.drills.test_drills import catalog, left_behind, symptom_seconds, timed, user, wording
from tests.e2e.conftest import User

pytestmark = [pytest.mark.real, pytest.mark.takes(60)]

__all__ = ["user"]

DRILLS = 50
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


@pytest.fixture(scope="module")
def sizes(user: User) -> list[dict[str, int]]:
    """What the lab took after each drill of this run; a lab that can have no drill of the round is a failure."""
    plan = open_lab(user.home / "lab.yml").plan
    assert not all(reason_impossible(catalog().drills[slug], plan) for slug in ROUND)
    return []


def _drills() -> list[object]:
    drills = catalog().drills
    return [
        pytest.param(drills[ROUND[one % len(ROUND)]], id=f"{one + 1}-{ROUND[one % len(ROUND)]}")
        for one in range(DRILLS)
    ]


@pytest.mark.parametrize("drill", _drills())
def test_a_drill_leaves_the_lab_as_it_was(
    user: User, sizes: list[dict[str, int]], drill: Drill, record_property: Callable[[str, object], None]
) -> None:
    lab = open_lab(user.home / "lab.yml")
    if why := reason_impossible(drill, lab.plan):
        pytest.skip(why)
    times, size = drill_once(lab, drill.slug), sizes_of(lab)
    for name, value in (times | size).items():
        record_property(name, value)
    sizes.append(size)
    first = sizes[0]
    assert size["state_bytes"] - first["state_bytes"] <= (len(sizes) - 1) * STATE_BYTES
    assert size["host_mebibytes"] - first["host_mebibytes"] < MEMORY_MEBIBYTES
    assert size["own_mebibytes"] - first["own_mebibytes"] < MEMORY_MEBIBYTES


def drill_once(lab: Lab, slug: str) -> dict[str, float]:
    """Do one drill as a student does who knows the solution; return its times in seconds."""
    events: list[Event] = []
    start = timed(lambda: start_drill(lab, slug, given=None, wait=True, wording=wording(lab), emit=events.append))
    findings: list[bool] = []
    check = timed(lambda: findings.extend(one.reached for one in grade.check(lab, wording=wording(lab)).findings))
    assert not all(findings), f"{slug}: nothing is broken"
    solve = timed(lambda: grade.solve(lab, emit=discard, wording=wording(lab)))
    # Verifies the lab as well: raises when verify is not green.
    reset = timed(lambda: reset_drill(lab, emit=discard, wording=wording(lab)))
    assert not left_behind(lab), slug
    waited = symptom_seconds(events)
    times = {"start": start - waited, "waited": waited, "check": check, "solve": solve, "reset": reset}
    return {name: round(seconds, 1) for name, seconds in times.items()}


def sizes_of(lab: Lab) -> dict[str, int]:
    """Return what the lab takes on disk and in memory."""
    return {
        "state_bytes": state_bytes(lab),
        "host_mebibytes": memory_of_host(),
        "own_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
