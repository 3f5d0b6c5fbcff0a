"""Every drill on a real lab: it breaks what it says, takes no bad fix for a solution, leaves nothing behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.drills.catalog import Catalog, lab_names, load_all, reason_impossible
from orchestrator.drills.messages import Wording
from orchestrator.drills.schema import Drill
from orchestrator.drills.steps import ADMIN_KUBECONFIG, KEPT
from orchestrator.events import Event, Note, PhaseEnded, Step, discard
from orchestrator.lab.drill_progress import read_progress
from orchestrator.lab.node_commands import run_on_nodes
from orchestrator.lab.state import Lab, open_lab
from orchestrator.verbs.drill import grade
from orchestrator.verbs.drill.apply import NAMESPACE, WORK_DIRECTORY
from orchestrator.verbs.drill.exercise import reset as reset_drill
from orchestrator.verbs.drill.exercise import start as start_drill
from tests.drills.table import Row, write
from tests.e2e.conftest import User
from tests.selection.labs import record_lab

pytestmark = [pytest.mark.real, pytest.mark.takes(40)]

VERSION = os.environ.get("LABCTL_TEST_KUBERNETES", "auto")
PROFILE = os.environ.get("LABCTL_TEST_PROFILE", "modern")
RUNTIME = os.environ.get("LABCTL_TEST_RUNTIME", "containerd")
LAB = """\
version: 1
name: drills
profile: %s
provider: container
workers: {count: %d}
network: {subnet: auto}
kubernetes: {version: "%s", runtime: %s}
"""
# An exercise in the cluster, a file of a node, a setting of its kernel.
SAMPLE = ("run-or-create", "kubectl-anywhere", "forwarding-off")


def catalog() -> Catalog:
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
    workers = max((one.needs.workers for one in given if isinstance(one, Drill)), default=2)
    (user.home / "lab.yml").write_text(LAB % (PROFILE, workers, VERSION, RUNTIME))
    try:
        done = user.run("provision", "--yes", "--progress", "plain", timeout=3000)
        assert done.returncode == 0, done.stderr[-4000:]
        record_lab(user.home, __file__)
        yield user
    finally:
        user.run("destroy", "--yes", timeout=600)


@pytest.fixture(scope="module")
def tested() -> dict[str, Row]:
    """What this run has tested so far."""
    return {}


def wording(lab: Lab) -> Wording:
    return Wording("en", lab_names(lab.plan))


def timed(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


def symptom_seconds(told: list[Event]) -> float:
    """How long `start` waited for Kubernetes to show what the drill broke."""
    return sum(event.seconds for event in told if isinstance(event, PhaseEnded) and event.phase == "symptom")


def given_away(drill: Drill, told: list[Event]) -> set[str]:
    """The tasks of the break that `start` showed: their names say what is wrong, and finding that is the drill."""
    return {event.name for event in told if isinstance(event, Step)} & {step.name for step in drill.breaks}


def unreached(lab: Lab) -> set[str]:
    """The goals that grading finds not reached now, as a student's check would."""
    findings = grade.check(lab, wording=wording(lab)).findings
    return {one.check for one in findings if not one.reached}


def left_behind(lab: Lab) -> list[str]:
    """What a drill could have left on the nodes or in the cluster."""
    namespaces = f"KUBECONFIG={ADMIN_KUBECONFIG} kubectl get namespace {NAMESPACE} --ignore-not-found -o name"
    files = f"ls -d {KEPT} {WORK_DIRECTORY} 2>/dev/null"
    look = f"sudo sh -c '{files}; [ ! -e {ADMIN_KUBECONFIG} ] || {namespaces}'"
    answers = run_on_nodes(lab, "all", look, timeout=60)
    return [f"{one.node}: {one.stdout}{one.error}" for one in answers.nodes if one.stdout.strip() or one.error]


def _parameter(drill: Drill) -> object:
    marks = [pytest.mark.inputs(f"drills/{drill.slug}")]
    marks += [pytest.mark.representative] if drill.slug in SAMPLE else []
    marks += [pytest.mark.book] if drill.needs.kubernetes else []
    marks += [pytest.mark.docker] if drill.needs.runtime == "docker" else []
    return pytest.param(drill, id=drill.slug, marks=marks)


@pytest.mark.parametrize("drill", [_parameter(one) for one in catalog().drills.values()])
def test_a_drill_breaks_is_graded_and_leaves_nothing(user: User, tested: dict[str, Row], drill: Drill) -> None:
    lab = open_lab(user.home / "lab.yml")
    if why := reason_impossible(drill, lab.plan):
        pytest.skip(why)
    runs = len(list(lab.directory.runs.iterdir()))

    told: list[Event] = []

    def begin() -> None:
        start_drill(lab, drill.slug, given=None, wait=True, wording=wording(lab), emit=told.append)

    reset = 0.0
    try:
        start = timed(begin)
        late = [event.text for event in told if isinstance(event, Note) and event.phase == "symptom"]
        assert not given_away(drill, told)
        assert not late, f"what the drill waits for did not show: {late}"
        began = time.monotonic()
        wrong = unreached(lab)
        check = time.monotonic() - began
        assert drill.broken_checks <= wrong, f"not found: {drill.broken_checks - wrong}; found: {wrong}"
        grade.apply_bad_fix(lab, emit=discard)
        assert unreached(lab), "the bad fix was taken for a solution"
        verdicts = []
        solve = timed(lambda: verdicts.append(grade.solve(lab, emit=discard, wording=wording(lab))))
        missing = {one.check: one.evidence for one in verdicts[0].findings if not one.reached}
        assert not missing, f"not reached by the solution: {missing}"
        assert not unreached(lab), "a student's check after the solution finds something"
    finally:
        # Verifies the lab as well: raises when `labctl verify` is not green.
        if read_progress(lab).current:
            reset = timed(lambda: reset_drill(lab, emit=discard, wording=wording(lab)))
    assert not left_behind(lab)
    assert len(list(lab.directory.runs.iterdir())) == runs
    tested[drill.slug] = Row(start, check, solve, reset, symptom_seconds(told))
    if table := os.environ.get("LABCTL_DRILLS_TABLE"):
        write(Path(table), catalog(), tested)
