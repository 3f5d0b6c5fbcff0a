"""What a drill refuses before it touches a lab, and what it does with a step that restarts a machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.drills.steps import Step
from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import discard
from orchestrator.lab.node_commands import NodeResult, NodeResults
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.paths import LabDir
from orchestrator.providers.base import container_capabilities
from orchestrator.verbs.drill import apply, exercise
from tests.unit.providers.test_container_spec import PLAN


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    plan = replace(PLAN, owner=str(tmp_path))
    return Lab(LabDir.beside(tmp_path / "lab.yml", plan.name), plan)


def observed(lab: Lab, **states: Any) -> ObservedLab:
    """The lab with all machines running but those whose state is given."""
    nodes = tuple(Node(one.name, states.get(one.name[:2], "running")) for one in lab.plan.nodes)
    return ObservedLab(lab, nodes, container_capabilities("a double"))


def answer(monkeypatch: pytest.MonkeyPatch, **printed: str) -> None:
    """Stand in for the nodes: each prints what is given for it."""
    nodes = tuple(NodeResult(name.replace("_", "-"), 0, text) for name, text in printed.items())
    monkeypatch.setattr(apply, "run_on_nodes", lambda *_, **__: NodeResults("", nodes))


def test_what_the_reader_has_under_the_names_of_a_drill_is_named_with_the_command_that_keeps_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, m_k8s="/root/drill\nnamespace/drill\n", w1_k8s="")
    with pytest.raises(SpecError, match="drain would use, and its reset remove, what is yours already") as refused:
        apply.refuse_foreign_objects(observed(lab), "drain")
    told = {one.what: (one.where, one.fix) for one in refused.value.problems}
    assert told["/root/drill exists already"] == (
        "m-k8s",
        "labctl ssh m-k8s -- sudo mv /root/drill /root/drill-mine",
    )
    assert "kubectl -- delete namespace drill" in told["namespace/drill exists already"][1]
    assert refused.value.fix.endswith("labctl drill start drain")


def test_a_lab_without_them_is_not_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, m_k8s="", w1_k8s="")
    apply.refuse_foreign_objects(observed(lab), "drain")


@pytest.mark.parametrize("state", ["missing", "broken"])
def test_a_machine_that_is_gone_is_named_with_the_way_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(exercise, "observe_lab", lambda _: observed(lab, w1=state))
    with pytest.raises(ProviderError, match=f"a drill needs the whole lab: w1-k8s is {state}") as refused:
        exercise.observe_running(lab)
    assert refused.value.fix == "labctl provision makes it anew; then: labctl drill reset"


def test_a_machine_that_is_off_is_started_not_made(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercise, "observe_lab", lambda _: observed(lab, w1="stopped"))
    with pytest.raises(ProviderError) as refused:
        exercise.observe_running(lab)
    assert refused.value.fix == "labctl start"


def test_a_step_with_reboot_restarts_its_machine_between_the_others(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def apply_steps(_: ObservedLab, steps: Iterable[Step], **__: Any) -> None:
        done.extend(step.name for step in steps)

    monkeypatch.setattr(apply, "apply_steps", apply_steps)
    monkeypatch.setattr(apply, "power_off", lambda _, name, __: done.append(f"{name} off"))
    monkeypatch.setattr(apply, "power_on", lambda *_: done.append("on"))
    monkeypatch.setattr(apply, "observe_lab", lambda _: observed(lab))
    steps = [Step(name="a", shell="true"), Step(name="b", node="worker", reboot=True), Step(name="c", shell="true")]
    apply.apply_drill_steps(observed(lab), steps, slug="drain", part="solve", title="Repair", emit=discard)
    assert done == ["a", f"{lab.plan.workers[-1].name} off", "on", "b", "c"]
