"""Every drill on a real lab: it breaks what it says, takes no wrong repair for a solution, leaves nothing behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator import paths
from orchestrator.drills import Catalogue, Drill, load_all
from orchestrator.drills.catalogue import impossible
from orchestrator.events import Event, Note, PhaseEnded, Step, discard
from orchestrator.lab.node_commands import run_on_nodes
from orchestrator.lab.state import Lab, open_lab
from orchestrator.verbs.drill import session as drills
from orchestrator.verbs.drill.nodes import ADMIN, BENCH, NAMESPACE, SAVED
from tests.drills.table import Row, write
from tests.e2e.conftest import User

pytestmark = [pytest.mark.real, pytest.mark.takes(40)]

LAB = """\
version: 1
name: drills
provider: container
workers: {count: %d}
network: {subnet: auto}
"""
# An exercise in the cluster, a file of a node, a setting of its kernel.
SAMPLE = ("run-or-create", "kubectl-anywhere", "bridge-filter-off")


def catalogue() -> Catalogue:
    return load_all([paths.data("drills")])


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[User]:
    """Somebody with a lab as large as the drills need; LABCTL_DRILLS_HOME names the directory of one that is there."""
    if named := os.environ.get("LABCTL_DRILLS_HOME"):
        yield User(Path(named))
        return
    user = User(tmp_path_factory.mktemp("drills"))
    given = [
        value for item in request.session.items if hasattr(item, "callspec") for value in item.callspec.params.values()
    ]
    (user.home / "lab.yml").write_text(LAB % max(one.needs.workers for one in given if isinstance(one, Drill)))
    try:
        done = user.run("provision", "--yes", "--progress", "plain", timeout=3000)
        assert done.returncode == 0, done.stderr[-4000:]
        yield user
    finally:
        user.run("destroy", "--yes", timeout=600)


@pytest.fixture(scope="module")
def proved() -> dict[str, Row]:
    """What this run has proved so far."""
    return {}


def timed(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


def symptom_seconds(told: list[Event]) -> float:
    """How long `start` waited for Kubernetes to show what the drill broke."""
    return sum(event.seconds for event in told if isinstance(event, PhaseEnded) and event.phase == "symptom")


def given_away(drill: Drill, told: list[Event]) -> set[str]:
    """The tasks of the break that `start` showed: their names say what is wrong, and finding that is the drill."""
    plays = yaml.safe_load(drill.playbook("inject").read_text(encoding="utf-8"))
    tasks = {task["name"] for play in plays for task in play["tasks"]}
    return {event.name for event in told if isinstance(event, Step)} & tasks


def unreached(lab: Lab) -> set[str]:
    """The goals that grading finds not reached now, as a student's check would."""
    return {one.check for one in drills.check(lab, emit=discard).findings if not one.reached}


def left_behind(lab: Lab) -> list[str]:
    """What a drill could have left on the nodes or in the cluster."""
    namespaces = f"KUBECONFIG={ADMIN} kubectl get namespace {NAMESPACE} --ignore-not-found -o name"
    files = f"ls -d {SAVED} {BENCH} 2>/dev/null"
    look = f"sudo sh -c '{files}; [ ! -e {ADMIN} ] || {namespaces}'"
    answers = run_on_nodes(lab, "all", look, timeout=60)
    return [f"{one.node}: {one.stdout}{one.error}" for one in answers.nodes if one.stdout.strip() or one.error]


def _parameter(drill: Drill) -> object:
    marks = [pytest.mark.inputs(f"drills/{drill.slug}")]
    marks += [pytest.mark.representative] if drill.slug in SAMPLE else []
    return pytest.param(drill, id=drill.slug, marks=marks)


@pytest.mark.parametrize("drill", [_parameter(one) for one in catalogue().drills.values()])
def test_a_drill_breaks_is_graded_and_leaves_nothing(user: User, proved: dict[str, Row], drill: Drill) -> None:
    lab = open_lab(user.home / "lab.yml")
    if why := impossible(drill, lab.plan):
        pytest.skip(why)
    runs = len(list(lab.directory.runs.iterdir()))

    told: list[Event] = []

    def begin() -> None:
        drills.start(lab, drill.slug, given=None, wait=True, language="en", emit=told.append)

    reset = 0.0
    try:
        start = timed(begin)
        late = [event.text for event in told if isinstance(event, Note) and event.phase == "symptom"]
        assert not given_away(drill, told)
        assert not late, f"what the drill waits for did not show: {late}"
        began = time.monotonic()
        wrong = unreached(lab)
        check = time.monotonic() - began
        assert set(drill.proof.fails) <= wrong, f"not found: {set(drill.proof.fails) - wrong}; found: {wrong}"
        drills.repair_wrongly(lab, emit=discard)
        assert unreached(lab), "the wrong repair was taken for a solution"
        verdicts = []
        solve = timed(lambda: verdicts.append(drills.solve(lab, emit=discard)))
        missing = {one.check: one.evidence for one in verdicts[0].findings if not one.reached}
        assert not missing, f"not reached by the solution: {missing}"
        assert not unreached(lab), "a student's check after the solution finds something"
    finally:
        # Proves the lab as well: raises when `labctl verify` is not green.
        if drills.read(lab).current:
            reset = timed(lambda: drills.reset(lab, emit=discard))
    assert not left_behind(lab)
    assert len(list(lab.directory.runs.iterdir())) == runs
    proved[drill.slug] = Row(start, check, solve, reset, symptom_seconds(told))
    if table := os.environ.get("LABCTL_DRILLS_TABLE"):
        write(Path(table), catalogue(), proved)
