"""What the nodes are told: names that they resolve, and what the kernel that they share allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog, inventory, spec
from orchestrator.model import Capabilities, Node, Plan
from orchestrator.observed import Observed, SourceContent
from orchestrator.plan import plan as make_plan

MODERN = SourceContent("b", "1.37.2", has_calico=True, has_coredns=True, has_crictl=True, containerd="2.4.2")


@pytest.fixture
def plan(observe: Callable[..., Observed]) -> Callable[..., Plan]:
    def make(text: str = "", **facts: Any) -> Plan:
        return make_plan(spec.parse(text), catalog.load(), observe(bundles=(MODERN,), **facts))

    return make


def variables(plan: Plan, capabilities: Capabilities, place: Path = Path("/nowhere")) -> dict[str, Any]:
    nodes = [Node(node.name, "running") for node in plan.nodes]
    places = {"private_key": place / "k", "known_hosts": place / "h", "control_dir": place / "c"}
    built: dict[str, Any] = inventory.build(plan, nodes, capabilities, None, **places)["cluster"]["vars"]
    return built


def test_every_node_resolves_the_name_of_the_api_server_and_workers_join_by_it(plan: Callable[..., Plan]) -> None:
    planned = plan("name: demo")
    given = variables(planned, Capabilities())
    assert {"name": "api.demo.internal", "address": planned.control_plane.address} in given["node_base_hosts"]
    assert given["kubeadm_init_endpoint_name"] == "api.demo.internal"
    assert given["kubeadm_join_endpoint"] == "api.demo.internal:6443"


@pytest.mark.parametrize(("own_modules", "encapsulation"), [(True, None), (False, "vxlan")])
def test_calico_takes_vxlan_where_no_module_can_be_loaded(
    plan: Callable[..., Plan], own_modules: bool, encapsulation: str | None
) -> None:
    given = variables(plan("kubernetes: {cni: calico}"), Capabilities(own_modules=own_modules))
    assert given.get("calico_encapsulation") == encapsulation


def of_control_plane(plan: Plan) -> dict[str, Any]:
    nodes = [Node(node.name, "running") for node in plan.nodes]
    place = Path("/nowhere")
    built = inventory.build(plan, nodes, Capabilities(), None, private_key=place, known_hosts=place, control_dir=place)
    return inventory.variables_of(built, plan.control_plane.name)


@pytest.mark.parametrize(
    ("text", "sets", "pinged"),
    [
        ("", None, None),
        ("profile: book", ["labs", "book"], None),
        ("profile: book-2", ["ping"], ["192.168.1.101", "192.168.1.102", "192.168.1.103"]),
        ("profile: bare\nworkers: {count: 1}", ["ping"], ["192.168.56.101"]),
    ],
)
def test_the_control_plane_has_the_exercises_of_its_profile(
    plan: Callable[..., Plan], text: str, sets: list[str] | None, pinged: list[str] | None
) -> None:
    given = of_control_plane(plan(text))
    assert given["lab_materials_users"] == ["root", "vagrant"]
    assert (given.get("lab_materials_sets"), given.get("lab_materials_ping_addresses")) == (sets, pinged)


@pytest.mark.parametrize(("text", "key"), [("", None), ("profile: book", "/nowhere/k.pub")])
def test_root_lets_the_labs_key_in_where_people_are_root(plan: Callable[..., Plan], text: str, key: str | None) -> None:
    assert variables(plan(text), Capabilities()).get("node_base_root_key_file") == key
