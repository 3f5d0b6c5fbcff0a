"""Whether the roles would read today what they read last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.lab import converged
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import Node
from orchestrator.paths import LabDir
from orchestrator.providers.base import container_capabilities
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import PLAN


@pytest.fixture
def observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObservedLab:
    """A lab whose roles have just run to their end."""
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    make(paths.bundle_dir("b"), "b", "1.20.2")
    plan = replace(PLAN, owner=str(tmp_path))
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    nodes = tuple(Node(node.name, "running", host_keys=("ssh-ed25519 AAAA",)) for node in plan.nodes)
    lab = ObservedLab(Lab(directory, plan), nodes, container_capabilities("the kernel is the host's"))
    converged.remember(lab)
    return lab


def test_a_lab_is_unchanged_right_after_its_roles_ran(observed: ObservedLab) -> None:
    assert converged.is_unchanged(observed)


def test_a_run_that_did_not_come_to_its_end_leaves_a_changed_lab(observed: ObservedLab) -> None:
    converged.forget(observed.lab.directory)
    assert not converged.is_unchanged(observed)


def test_another_plan_is_a_change(observed: ObservedLab) -> None:
    plan = replace(observed.lab.plan, http_proxy="http://proxy:3128")
    assert not converged.is_unchanged(replace(observed, lab=replace(observed.lab, plan=plan)))


def test_a_machine_that_was_made_anew_is_a_change(observed: ObservedLab) -> None:
    observed.lab.directory.node_key.write_text("key", encoding="ascii")
    converged.remember(observed)
    assert converged.is_unchanged(observed)
    nodes = (replace(observed.nodes[0], host_keys=("ssh-ed25519 BBBB",)), *observed.nodes[1:])
    assert not converged.is_unchanged(replace(observed, nodes=nodes))


def test_another_password_of_root_is_a_change(observed: ObservedLab) -> None:
    observed.lab.directory.root_password.write_text("$6$a$b", encoding="ascii")
    converged.remember(observed)
    assert converged.is_unchanged(observed)
    observed.lab.directory.root_password.write_text("$6$a$c", encoding="ascii")
    assert not converged.is_unchanged(observed)


def test_a_bundle_that_was_made_again_is_a_change(observed: ObservedLab) -> None:
    (paths.bundle_dir("b") / "key.asc").write_text("another key", encoding="ascii")
    assert not converged.is_unchanged(observed)


def test_a_bundle_that_is_gone_is_a_change(observed: ObservedLab) -> None:
    (paths.bundle_dir("b") / "manifest.json").unlink()
    assert not converged.is_unchanged(observed)


def test_a_changed_role_is_a_change(observed: ObservedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = {name: tmp_path / name for name in ("roles", "playbooks", "plugins")}
    for tree in trees.values():
        tree.mkdir()
    monkeypatch.setattr(converged.paths, "data", lambda name: trees[name])
    converged.remember(observed)
    assert converged.is_unchanged(observed)
    (trees["roles"] / "tests").mkdir()
    (trees["roles"] / "tests" / "test_role.py").write_text("", encoding="ascii")
    assert converged.is_unchanged(observed)
    (trees["roles"] / "main.yml").write_text("", encoding="ascii")
    assert not converged.is_unchanged(observed)
