"""`labctl` alone says what there is and what to type next, from files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.lab.duration import in_words
from orchestrator.lab.pending import begin_operation
from orchestrator.observed import Observed
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.verbs.next_steps import next_steps


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LABCTL_LAB_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lab(folder: Path, observe: Callable[..., Observed]) -> LabDir:
    (folder / "lab.yml").write_text("version: 1\nprovider: container\nprofile: bare\n", encoding="utf-8")
    plan = make_plan(spec.load(folder / "lab.yml"), catalog.load(), observe(owner=str(folder)), "render")
    directory = LabDir(folder / ".labctl" / plan.name)
    directory.reports.mkdir(parents=True)
    directory.plan.write_text(plan.as_json(), encoding="utf-8")
    return directory


def verified(lab: LabDir, *, ok: bool, failed: tuple[str, ...] = ()) -> None:
    body = json.dumps({"at": 1000.0, "ok": ok, "failed": failed})
    (lab.reports / "last.json").write_text(body, encoding="utf-8")


def test_in_an_empty_folder_it_begins_with_init() -> None:
    found = next_steps()
    assert found.state == "there is no lab in this folder"
    assert [command for command, _ in found.commands] == ["labctl init", "labctl plan", "labctl provision"]


def test_beside_a_lab_yml_it_begins_with_the_plan(folder: Path) -> None:
    (folder / "lab.yml").write_text("version: 1\n", encoding="utf-8")
    found = next_steps()
    assert found.state == "lab.yml is here, and no lab yet"
    assert found.commands[0][0] == "labctl plan"


def test_a_lab_that_was_never_verified_is_completed_first(lab: LabDir) -> None:
    found = next_steps()
    assert found.state == "k8s-lab: 4 machines by container, no Kubernetes; never verified"
    assert found.commands[0][0] == "labctl provision"


def test_a_verified_lab_is_there_to_be_used(lab: LabDir) -> None:
    verified(lab, ok=True)
    found = next_steps(now=1000 + 3 * 3600)
    assert found.state.endswith("; verified 3 hours ago")
    assert [command for command, _ in found.commands][:2] == ["labctl status", "labctl ssh w3-k8s"]


def test_what_failed_is_looked_at_first(lab: LabDir) -> None:
    verified(lab, ok=False, failed=("swapoff.now", "kubelet.ready"))
    found = next_steps(now=1090)
    assert found.state.endswith("; 2 checks failed 90 seconds ago")
    assert found.commands[0][0] == "labctl verify"


def test_an_interrupted_command_is_the_only_one(lab: LabDir) -> None:
    begin_operation(lab, "upgrade", "labctl upgrade --kubernetes 1.37.2")
    found = next_steps()
    assert found.state.endswith("; upgrade was interrupted")
    assert [command for command, _ in found.commands] == ["labctl upgrade --kubernetes 1.37.2"]


def test_a_damaged_plan_is_told_with_its_fix(lab: LabDir) -> None:
    lab.plan.write_text("{", encoding="utf-8")
    found = next_steps()
    assert "is damaged" in found.state
    assert found.commands[0][0] == "labctl provision"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (90000, "25 hours")]
)
def test_durations_stand_in_a_unit_of_which_there_are_two(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
