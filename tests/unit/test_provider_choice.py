"""Which provider a lab gets, and why."""

from __future__ import annotations

import pytest

from orchestrator.errors import HostError, SpecError
from orchestrator.model import ProviderState
from orchestrator.providers import registry

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
