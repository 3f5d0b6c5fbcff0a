"""What the roles are told about the pod network of a lab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog, inventory, spec
from orchestrator.model import Node
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan
from orchestrator.providers.base import container_capabilities


@pytest.fixture
def variables(observe: Callable[..., Observed], tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    def make(cni: str) -> dict[str, Any]:
        file = tmp_path / "lab.yml"
        file.write_text(f"kubernetes: {{cni: {cni}}}\n", encoding="utf-8")
        plan = make_plan(spec.load(file), catalog.load(), observe(), "render")
        nodes = [Node(node.name, "running") for node in plan.nodes]
        places = {"private_key": tmp_path / "k", "known_hosts": tmp_path / "h", "control_dir": tmp_path / "c"}
        capabilities = container_capabilities("a double")
        built: dict[str, Any] = inventory.build(plan, nodes, capabilities, None, **places)["cluster"]["vars"]
        return built

    return make


def about_networks(given: dict[str, Any]) -> set[str]:
    return {name for name in given if name.startswith(("bridge_cni_", "calico_", "network_policy_"))}


def test_no_role_lays_a_network_where_the_user_does(variables: Callable[[str], dict[str, Any]]) -> None:
    given = variables("none")
    assert given["cluster_cni"] == "none"
    assert not about_networks(given)


def test_nobody_waits_for_dns_servers_that_wait_for_a_network(variables: Callable[[str], dict[str, Any]]) -> None:
    assert variables("none")["cluster_dns_wait"] is False


def test_with_a_network_the_role_says_whether_to_wait(variables: Callable[[str], dict[str, Any]]) -> None:
    given = variables("bridge_cni")
    assert "bridge_cni_pod_cidr" in about_networks(given)
    assert not {name for name in given if name.startswith("calico_")}
    assert "cluster_dns_wait" not in given
