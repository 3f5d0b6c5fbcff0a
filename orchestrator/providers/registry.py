"""Which providers there are, which of them this host is ready for and why, and which one `auto` takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import get_args

from orchestrator.errors import HostError, SpecError
from orchestrator.events import discard
from orchestrator.host import HostFacts
from orchestrator.model import ProviderName, ProviderState
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.providers.container import engine


def _container() -> Provider:
    from orchestrator.providers.container.provider import ContainerProvider

    return ContainerProvider()


def _virtualbox() -> Provider:
    from orchestrator.providers.vagrant.provider import VagrantProvider
    from orchestrator.providers.vagrant.virtualbox import VirtualBox

    return VagrantProvider("virtualbox", VirtualBox())


def _libvirt() -> Provider:
    from orchestrator.providers.vagrant.libvirt import Libvirt
    from orchestrator.providers.vagrant.provider import VagrantProvider

    return VagrantProvider("libvirt", Libvirt())


def _static() -> Provider:
    from orchestrator.providers.static.provider import StaticProvider

    return StaticProvider()


# A provider is added here with its class; `states` says what its host must have.
_MAKERS: dict[ProviderName, Callable[[], Provider]] = {
    "container": _container,
    "virtualbox": _virtualbox,
    "libvirt": _libvirt,
    "static": _static,
}

# In the order of preference: the programs a provider needs, and where they come from.
_PROGRAMS: dict[ProviderName, tuple[tuple[str, str], ...]] = {
    "virtualbox": (
        ("VBoxManage", "install VirtualBox: https://www.virtualbox.org/wiki/Linux_Downloads"),
        ("vagrant", "install Vagrant: https://developer.hashicorp.com/vagrant/install"),
    ),
    "libvirt": (
        ("virsh", "install libvirt and its clients with your package manager"),
        ("vagrant", "install Vagrant and its libvirt plugin: apt-get install vagrant-libvirt"),
    ),
    "container": (),
    "static": (),
}


def provider(name: ProviderName) -> Provider:
    """The provider of this name. Raises HostError with the reason when this host or labctl cannot run it."""
    if name in _MAKERS:
        return _MAKERS[name]()
    state = _state(name)
    raise HostError(f"the provider {name} cannot be used: {state.detail}", fix=state.fix)


def states(_facts: HostFacts) -> tuple[ProviderState, ...]:
    """Every provider in the order of preference, with what it lacks on this host. Starts nothing.

    A Docker engine that is not running but that labctl can start counts as ready.
    """
    return tuple(_state(name) for name in _PROGRAMS)


def _state(name: ProviderName) -> ProviderState:
    for program, fix in _PROGRAMS[name]:
        if shutil.which(program) is None:
            return ProviderState(name, ready=False, detail=f"{program} is not installed", fix=fix)
    made = _MAKERS[name]()
    if name == "static":
        why = "it is for machines that you have: provider: static"
        return ProviderState(name, ready=True, capabilities=made.capabilities(), only_named=why)
    if name == "virtualbox":
        return ProviderState(name, ready=True, capabilities=made.capabilities())
    if name == "libvirt":
        return ProviderState(name, ready=True, capabilities=made.capabilities(), only_named=_libvirt_slow())
    obstacle = engine.obstacle()
    if obstacle is None:
        return ProviderState(name, ready=True, capabilities=made.capabilities())
    return ProviderState(name, False, obstacle.message, obstacle.fix, made.capabilities())


def _libvirt_slow() -> str:
    """Why `auto` passes libvirt by although it can be used; empty when nothing speaks against it."""
    from orchestrator.providers.vagrant import libvirt, libvirt_daemon

    if not libvirt.kvm():
        return "no KVM here: its machines would be emulated in software, which takes minutes"
    if libvirt_daemon.started_here() or not libvirt.Libvirt().answers():
        return "its daemon does not run"
    return ""


def choose(requested: str, states: Sequence[ProviderState], existing: ProviderName | None) -> tuple[ProviderName, str]:
    """The provider to take, and why.

    A lab keeps the provider it has; a named one is taken or refused with what it lacks; `auto` takes the
    first that is ready. Raises SpecError for an unknown name, HostError when the choice cannot be used.
    """
    by_name = {state.name: state for state in states}
    if requested != "auto" and requested not in get_args(ProviderName):
        names = ", ".join(("auto", *get_args(ProviderName)))
        raise SpecError(f"provider: {requested} is none of {names}", fix="provider: auto")
    if existing is not None and requested in ("auto", existing):
        return existing, "the lab has it already"
    if existing is not None:
        raise SpecError(f"provider: this lab's machines are made with {existing}", fix="labctl destroy, then provision")
    if requested != "auto":
        state = by_name[requested]  # type: ignore[index]
        if not state.ready:
            raise HostError(f"the provider {requested} cannot be used: {state.detail}", fix=state.fix)
        return state.name, "asked for"
    lacking = [f"{state.name}: {state.detail or state.only_named}" for state in states if not state.automatic]
    for state in states:
        if state.automatic:
            before = [text for text in lacking if not text.startswith("static")]
            return state.name, f"the first that this host has ({'; '.join(before)})" if before else "preferred"
    raise HostError(f"no provider can be used here: {'; '.join(lacking)}", fix=by_name["container"].fix)


def find_labs() -> list[tuple[ProviderName, LabIdentity]]:
    """Every lab that any backend of this host knows, with its provider."""
    found: list[tuple[ProviderName, LabIdentity]] = []
    for name, make in _MAKERS.items():
        made = make()
        try:
            found += [(name, identity) for identity in made.find_labs()]
        finally:
            made.close(discard, "find")
    return found
