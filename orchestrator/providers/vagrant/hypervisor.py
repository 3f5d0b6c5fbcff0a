"""What the two hypervisors behind Vagrant are asked directly: whose machines there are, and their state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.errors import Problem
from orchestrator.events import Emit
from orchestrator.model import Plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant.vagrantfile import LibvirtSettings

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
    """VirtualBox or libvirt, seen without Vagrant."""

    def open(self, emit: Emit, phase: str) -> None:
        """Make sure that it answers; starts its daemon where nothing else does."""

    def answers(self) -> bool:
        """Whether it can be asked now; starts nothing."""

    def machines(self, uuid: str | None = None) -> list[Machine]:
        """Every machine that carries a lab's identity; of one lab when `uuid` is given."""

    def clear(self, plan: Plan) -> list[str]:
        """Remove what is left of machines that never came to be; the names of what went."""

    def machine_name(self, plan: Plan, node: str) -> str:
        """What a node's machine is called there."""

    def pin(self, machine: Machine, host_keys: Sequence[str]) -> None:
        """Keep public host keys with the machine."""

    def host_keys(self, machine: Machine) -> tuple[str, ...]:
        """Public host keys handed over by the hypervisor, without the network; empty where it cannot."""

    def emulates(self) -> bool:
        """Whether its machines have a processor made of software on this host."""

    def settings(self, plan: Plan) -> LibvirtSettings | None:
        """What of the Vagrantfile depends on this host."""

    def owns_subnet(self, plan: Plan) -> bool:
        """Whether the lab's subnet is on this host because of the lab itself."""

    def problems(self, plan: Plan) -> list[Problem]:
        """What about the hypervisor keeps this plan from being made."""

    def stop(self, machine: Machine, seconds: float) -> None:
        """Shut a machine down; switch it off after `seconds`."""

    def remove(self, machine: Machine) -> None:
        """Remove a machine with its disks, whatever its state."""

    def traces(self, identity: LabIdentity) -> bool:
        """Whether a lab has left anything besides machines."""

    def remove_networks(self, identity: LabIdentity) -> list[str]:
        """Remove what a lab has besides machines; the names of what went."""

    def close(self, emit: Emit, phase: str) -> None:
        """End what labctl started for its labs, once the last is gone."""
