"""Machines whose processor is emulated get more time and less idle work, all others what the roles say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog, inventory, spec
from orchestrator.model import Capabilities, Node
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan

LIMITS = {"ansible_timeout", "kubeadm_init_timeout", "kubeadm_join_timeout", "kubeadm_init_silence_timeout"}
SPARED = {"kubeadm_init_ecdsa_keys", "kubeadm_init_leader_election", "kubeadm_init_node_status_update_frequency"}
REAL = Capabilities(True, True, True, True, selinux=True, snapshot=False, cgroup="v1")


@pytest.fixture
def variables(observe: Callable[..., Observed], tmp_path: Path) -> Callable[[str, Capabilities], dict[str, Any]]:
    def make(text: str, capabilities: Capabilities) -> dict[str, Any]:
        file = tmp_path / "lab.yml"
        file.write_text(text, encoding="utf-8")
        plan = make_plan(spec.load(file), catalog.load(), observe(), "render")
        nodes = [Node(node.name, "running") for node in plan.nodes]
        places = {"private_key": tmp_path / "k", "known_hosts": tmp_path / "h", "control_dir": tmp_path / "c"}
        built: dict[str, Any] = inventory.build(plan, nodes, capabilities, None, **places)["cluster"]["vars"]
        return built

    return make


def test_an_emulated_processor_gets_longer_limits_and_less_idle_work(variables: Callable[..., dict[str, Any]]) -> None:
    given = variables("version: 1\nprovider: libvirt\n", replace(REAL, emulated=True))
    assert given.keys() >= LIMITS
    assert given["kubeadm_init_timeout"] > 300
    assert (given["kubeadm_init_ecdsa_keys"], given["kubeadm_init_leader_election"]) == (True, False)


def test_without_kubernetes_only_ansible_waits_longer(variables: Callable[..., dict[str, Any]]) -> None:
    given = variables("version: 1\nprofile: bare\nprovider: libvirt\n", replace(REAL, emulated=True))
    assert (LIMITS | SPARED) & given.keys() == {"ansible_timeout"}


def test_a_real_processor_keeps_what_the_roles_say(variables: Callable[..., dict[str, Any]]) -> None:
    assert not (LIMITS | SPARED) & variables("version: 1\nprovider: libvirt\n", REAL).keys()
