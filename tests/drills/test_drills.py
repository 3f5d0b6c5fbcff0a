"""Every drill on a real lab: it breaks what it says, takes no wrong repair for a solution, leaves nothing behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.drills import Catalogue, Drill, load_all
from orchestrator.drills.catalogue import impossible
from orchestrator.events import discard
from orchestrator.workflows import drills
from orchestrator.workflows import exec as everywhere
from orchestrator.workflows import lab as labs
from orchestrator.workflows.lab import Lab
from tests.drills.table import Row, write
from tests.e2e.conftest import User

pytestmark = pytest.mark.real

LAB = """\
version: 1
name: drills
provider: container
workers: {count: 2}
network: {subnet: auto}
"""
SAMPLE = ("run-or-create",)
SHORT = 30


def catalogue() -> Catalogue:
    return load_all([paths.data("drills")])


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody with a lab of two workers; LABCTL_DRILLS_HOME names the directory of one that is there already."""
    if named := os.environ.get("LABCTL_DRILLS_HOME"):
        yield User(Path(named))
        return
    user = User(tmp_path_factory.mktemp("drills"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        done = user.run("provision", "--yes", "--progress", "plain", timeout=3000)
        assert done.returncode == 0, done.stderr[-4000:]
        yield user
    finally:
        user.run("destroy", "--yes", timeout=600)


@pytest.fixture(scope="module")
def proved() -> Iterator[dict[str, Row]]:
    """What this run proved; LABCTL_DRILLS_TABLE names the page to write it into."""
    rows: dict[str, Row] = {}
    yield rows
    if table := os.environ.get("LABCTL_DRILLS_TABLE"):
        write(Path(table), catalogue(), rows)


def timed(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


def unreached(lab: Lab) -> set[str]:
    """The goals that grading finds not reached now, as a student's check would."""
    return {one.check for one in drills.check(lab, emit=discard).findings if not one.reached}


def left_behind(lab: Lab) -> list[str]:
    """What a drill could have left on the nodes or in the cluster."""
    namespaces = f"KUBECONFIG={drills.ADMIN} kubectl get namespace {drills.NAMESPACE} --ignore-not-found -o name"
    files = f"ls -d {drills.SAVED} /root/drill 2>/dev/null"
    look = f"sudo sh -c '{files}; [ ! -e {drills.ADMIN} ] || {namespaces}'"
    answers = everywhere.run_everywhere(lab, "all", [look], timeout=60, on_answer=lambda answer: None)
    return [f"{one.node}: {one.stdout}{one.error}" for one in answers.nodes if one.stdout.strip() or one.error]


def _parameter(drill: Drill) -> object:
    return pytest.param(drill, id=f"{'sample' if drill.slug in SAMPLE else 'rest'}-{drill.slug}")


@pytest.mark.parametrize("drill", [_parameter(one) for one in catalogue().drills.values()])
def test_a_drill_breaks_is_graded_and_leaves_nothing(user: User, proved: dict[str, Row], drill: Drill) -> None:
    lab = labs.open_lab(user.home / "lab.yml")
    if why := impossible(drill, lab.plan):
        pytest.skip(why)
    runs = len(list(lab.directory.runs.iterdir()))

    # What takes Kubernetes the longest, a node that falls silent, is no part of the proof.
    wait = drill.symptom is not None and drill.symptom.within <= SHORT

    def begin() -> None:
        drills.start(lab, drill.slug, given=None, wait=wait, language="en", emit=discard)

    start = timed(begin)
    try:
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
        reset = timed(lambda: drills.reset(lab, emit=discard))
    assert not left_behind(lab)
    assert len(list(lab.directory.runs.iterdir())) == runs
    proved[drill.slug] = Row(start, check, solve, reset)
