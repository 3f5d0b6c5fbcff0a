"""What the hypervisors behind Vagrant report: whose machines exist, and their state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from orchestrator.checks.host import HostCheck
from orchestrator.errors import Problem
from orchestrator.events import Emit
from orchestrator.model import Plan, ProviderName
from orchestrator.observed import Sizing
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant.vagrantfile import LibvirtSettings
from orchestrator.spec import Spec

MachineState = Literal["running", "stopped", "broken"]


@dataclass(frozen=True)
class Machine:
    """A machine as the hypervisor reports it; `id` is the hypervisor's own.

    `ssh_port` on 127.0.0.1 is the forward as it really is (0: none, the node's own address is used).
    `host_keys` were pinned when the machine was made and are kept by the hypervisor with the machine.
    """

    id: str
    node: str
    lab: LabIdentity
    state: MachineState
    cpus: int
    memory: int
    ssh_port: int = 0
    host_keys: tuple[str, ...] = ()


class Hypervisor(Protocol):
    """A hypervisor, seen without Vagrant.

    `programs` are those a lab takes, each with where it comes from; `plugin` is Vagrant's for this hypervisor. With
    `forwards` its machines are reached on ports of 127.0.0.1, else at their own addresses. `adapters` begins the names
    of host interfaces that all its labs share.
    """

    name: ClassVar[ProviderName]
    sizing: ClassVar[Sizing]
    programs: ClassVar[dict[str, str]]
    plugin: ClassVar[str] = ""
    forwards: ClassVar[bool] = True
    adapters: ClassVar[str] = ""

    def obstacle(self) -> Problem | None:
        """Why none of its machines could start on this host although its programs are here."""
        return None

    def only_named(self) -> str:
        """Why `auto` passes it by although it can be used; empty when it does not."""
        return ""

    def host_checks(self, spec: Spec, existing: Plan | None) -> Sequence[HostCheck]:
        """What labs of this provider need of the host, as checks for `labctl doctor`."""
        return ()

    def missing_packages(self, guest: str) -> Sequence[str]:
        """Packages of this host's package manager that a lab needs and that are not installed."""
        return ()

    def open(self, emit: Emit, phase: str) -> None:
        """Make sure that it answers; starts its daemon where nothing else does."""

    def answers(self) -> bool:
        """Whether it answers now; starts nothing."""

    def machines(self, uuid: str | None = None) -> list[Machine]:
        """Every machine that carries a lab's identity; of one lab when `uuid` is given."""

    def remove_leftovers(self, plan: Plan) -> list[str]:
        """Remove what is left of machines that were never complete; the names of what was removed."""
        return []

    def pin(self, machine: Machine, host_keys: Sequence[str]) -> None:
        """Keep public host keys with the machine."""

    def host_keys(self, machine: Machine) -> tuple[str, ...]:
        """Public host keys handed over by the hypervisor, without the network; empty where it cannot."""
        return ()

    def is_emulated(self) -> bool:
        """Whether its machines have a processor made of software on this host."""
        return False

    def settings(self, plan: Plan) -> LibvirtSettings | None:
        """What of the Vagrantfile depends on this host."""
        return None

    def owns_subnet(self, plan: Plan) -> bool:
        """Whether the lab's subnet is on this host because of the lab itself."""

    def problems(self, plan: Plan) -> list[Problem]:
        """What about the hypervisor keeps this plan from being made."""

    def stop(self, machine: Machine, seconds: float) -> None:
        """Shut a machine down; switch it off after `seconds`."""

    def remove(self, machine: Machine) -> None:
        """Remove a machine with its disks, whatever its state."""

    def has_networks(self, identity: LabIdentity) -> bool:
        """Whether a lab has left networks, whatever became of its machines."""
        return False

    def remove_networks(self, identity: LabIdentity) -> list[str]:
        """Remove what a lab has besides machines; the names of what was removed."""
        return []

    def close(self, emit: Emit, phase: str) -> None:
        """End what labctl started for its labs, once the last is gone."""


def foreign_machine(name: str, hypervisor: str, fix: str) -> Problem:
    """A machine that has the name of a node and is not the lab's."""
    return Problem(f"a virtual machine called {name} exists and is not of this lab; it is left alone", hypervisor, fix)
