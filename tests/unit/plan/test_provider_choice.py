"""Which provider a lab gets, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from orchestrator.errors import HostError, SpecError
from orchestrator.model import Plan, ProviderName
from orchestrator.observed import ProviderState
from orchestrator.plan import select
from orchestrator.providers import registry

GOLDEN = Path(__file__).resolve().parents[2] / "golden"

NO_VIRTUALBOX = ProviderState("virtualbox", ready=False, detail="VBoxManage is not installed", fix="install VirtualBox")
CONTAINER = ProviderState("container", ready=True)
STATES = (NO_VIRTUALBOX, CONTAINER)


def test_auto_takes_the_first_that_is_ready_and_says_what_the_others_lack() -> None:
    assert registry.choose("auto", STATES, None) == (
        "container",
        "auto: the first that this host has (virtualbox: VBoxManage is not installed)",
    )


def test_auto_prefers_virtualbox_when_it_is_there() -> None:
    states = (ProviderState("virtualbox", ready=True), CONTAINER)
    assert registry.choose("auto", states, None) == ("virtualbox", "auto: the first that this host has")


def test_a_lab_keeps_the_provider_it_has() -> None:
    assert registry.choose("auto", (ProviderState("virtualbox", ready=True), CONTAINER), "container")[0] == "container"
    with pytest.raises(SpecError, match="made with container"):
        registry.choose("virtualbox", STATES, "container")


def test_a_provider_that_is_not_installed_is_refused_with_the_fix() -> None:
    with pytest.raises(HostError, match="VBoxManage is not installed") as refused:
        registry.choose("virtualbox", STATES, None)
    assert refused.value.fix == "install VirtualBox, or provider: container"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="auto, virtualbox, libvirt, container, static"):
        registry.choose("vmware", STATES, None)


def test_nothing_ready_is_told_with_every_reason() -> None:
    states = (NO_VIRTUALBOX, ProviderState("container", ready=False, detail="Docker is not installed", fix="apt-get"))
    with pytest.raises(HostError, match=r"VBoxManage.*Docker is not installed"):
        registry.choose("auto", states, None)


def test_every_name_of_lab_yml_has_a_provider_in_the_order_of_preference() -> None:
    assert tuple(state.name for state in registry.states()) == get_args(ProviderName)
    assert all(registry.provider(name).name == name for name in get_args(ProviderName))


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("plan-*.json")), ids=lambda file: file.stem)
def test_a_plan_that_was_saved_before_still_opens_with_an_endpoint_for_each_node(file: Path) -> None:
    plan = Plan.from_json(file.read_text(encoding="utf-8"))
    assert [registry.ssh_endpoint(plan, node) for node in plan.nodes] == [
        ("vagrant", "127.0.0.1", node.ssh_port) for node in plan.nodes
    ]
    by_libvirt = replace(plan, provider="libvirt")
    assert [registry.ssh_endpoint(by_libvirt, node) for node in plan.nodes] == [
        ("vagrant", node.address, 22) for node in plan.nodes
    ]


def test_a_host_without_any_provider_is_to_get_the_last_that_auto_takes() -> None:
    states = tuple(replace(state, ready=False, detail="missing", fix="install it") for state in registry.states())
    automatic = [state.name for state in states if state.traits.creates_machines]
    selection = select("auto", states)
    assert selection.state.name == automatic[-1]
    assert [problem.what for problem in selection.problems] == [f"{name}: missing" for name in automatic]


def test_auto_never_takes_machines_that_lab_yml_has_to_list() -> None:
    states = tuple(replace(state, ready=True, only_named="") for state in registry.states())
    listed = [state for state in states if not state.traits.creates_machines]
    others = [state for state in states if state.traits.creates_machines]
    assert listed
    assert select("auto", (*listed, *others)).state.name == others[0].name
