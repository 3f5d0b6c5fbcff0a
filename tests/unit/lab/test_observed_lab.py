"""A verb asks the provider once, and the inventory of a run is the one that people see."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import inventory
from orchestrator.checks.model import Report
from orchestrator.cli.main import labctl
from orchestrator.errors import ProviderError
from orchestrator.events import Emit, discard
from orchestrator.lab import convergence, playbooks, verification
from orchestrator.lab.convergence import converge
from orchestrator.lab.inventory import inventory_document
from orchestrator.lab.observed_lab import ObservedLab, observe_lab, require_running
from orchestrator.lab.state import Lab, save_plan, save_source_access
from orchestrator.model import Capabilities, Node, Plan, SourceAccess
from orchestrator.paths import LabDir
from orchestrator.providers import registry
from orchestrator.providers.base import container_capabilities
from orchestrator.runner import RunSummary
from orchestrator.verbs import verify
from tests.unit.providers.test_container_spec import PLAN

ACCESS = SourceAccess(
    "http://10.0.0.1/apt", "", "/key.asc", worker_archive_url="http://10.0.0.1/w", worker_archive_sha256="a"
)


class FakeProvider:
    """A provider whose machines all run; it counts what it is asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def nodes(self, plan: Plan) -> list[Node]:
        self.calls.append("nodes")
        return [Node(node.name, "running", ssh_port=node.ssh_port) for node in plan.nodes]

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        self.calls.append("capabilities")
        return container_capabilities("a double")

    def close(self, emit: Emit, phase: str) -> None:
        self.calls.append("close")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    made = FakeProvider()
    monkeypatch.setattr(registry, "provider", lambda name: made)
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    plan = replace(PLAN, owner=str(tmp_path))
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    save_source_access(directory, ACCESS)
    return Lab(directory, plan)


def test_verify_asks_the_provider_once(lab: Lab, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "run_checks", lambda name, *_, **__: Report(name, 0.0, 1.0, ()))
    verify.verify(lab, emit=discard)
    assert provider.calls == ["nodes", "capabilities", "close"]


def test_a_lab_that_was_observed_is_converged_and_verified_without_another_question(
    lab: Lab, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "run_checks", lambda name, *_, **__: Report(name, 0.0, 1.0, ()))
    monkeypatch.setattr(playbooks.runner, "run_playbook", lambda *_, **__: RunSummary({}, lab.directory.runs))
    monkeypatch.setattr(convergence, "serve_source", lambda *_: nullcontext(ACCESS))
    observed = observe_lab(lab)
    asked = list(provider.calls)
    converge(observed, discard)
    verification.wait_until_healthy(observed, discard)
    assert provider.calls == asked


def merged(file: dict[str, Any], node: str) -> dict[str, Any]:
    """A node's variables as Ansible merges those of an inventory file."""
    cluster = file["all"]["children"]["cluster"]
    groups = {name: group for name, group in cluster["children"].items() if node in group["hosts"]}
    shared = {key: value for group in groups.values() for key, value in group.get("vars", {}).items()}
    own = {"inventory_hostname": node, "group_names": ["cluster", *groups]}
    return {**cluster["vars"], **shared, **next(iter(groups.values()))["hosts"][node], **own}


def test_people_and_ansible_get_the_same_inventory(lab: Lab, provider: FakeProvider) -> None:
    file = str(Path(lab.plan.owner) / "lab.yml")
    printed = CliRunner().invoke(labctl, ["inventory", "--lab", file, "--list"])
    document = inventory_document(observe_lab(lab))
    assert json.loads(printed.stdout) == document
    for node in lab.plan.nodes:
        assert merged(inventory.as_file(document), node.name) == inventory.variables_of(document, node.name)


def test_a_node_that_does_not_run_is_in_no_inventory_and_named_to_who_needs_it(lab: Lab) -> None:
    nodes = (Node("m-k8s", "running"), Node("w1-k8s", "stopped"))
    observed = ObservedLab(lab, nodes, container_capabilities("a double"))
    assert list(inventory_document(observed)["_meta"]["hostvars"]) == ["m-k8s"]
    with pytest.raises(ProviderError, match="an upgrade needs every machine: w1-k8s is stopped"):
        require_running(nodes, "an upgrade needs every machine")
