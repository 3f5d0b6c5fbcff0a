"""What every provider answers and does; the rest of labctl knows providers through this Protocol alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator import host
from orchestrator.errors import Problem
from orchestrator.events import Emit
from orchestrator.model import Capabilities, Node, Plan, ProviderName
from orchestrator.paths import LabDir


@dataclass(frozen=True)
class LabIdentity:
    """What tells a lab from every other, as its machines carry it: name, UUID, directory that holds lab.yml."""

    name: str
    uuid: str
    owner: str


def of_containers(shared: str) -> Capabilities:
    """What machines own that run on the kernel of their host; `shared` says so, for the reasons."""
    return Capabilities(
        own_kernel=False,
        own_swap=False,
        own_modules=False,
        own_conntrack_limits=False,
        selinux=False,
        snapshot=False,
        cgroup=host.cgroup_mode(),
        reasons={
            "own_kernel": shared,
            "own_swap": f"{shared}: swap is the host's",
            "own_modules": f"{shared}: modules are the host's",
            "own_conntrack_limits": f"{shared}: connection tracking limits are the host's",
            "selinux": f"{shared}: SELinux is the host's",
        },
    )


def unusable(nodes: Sequence[Node]) -> list[Problem]:
    """The nodes that are missing or broken, as the problems they are for whoever needs all of them."""
    return [
        Problem(f"is {node.state}{f' ({node.detail})' if node.detail else ''}", node.name, "labctl provision")
        for node in nodes
        if node.state in ("missing", "broken")
    ]


class Provider(Protocol):
    """Machines of one kind. `phase` is the phase that the caller has opened and under which events are emitted.

    Every method but `close` may be called again after a failure or a kill: it continues from what is there.
    """

    @property
    def name(self) -> ProviderName:
        """The name under which lab.yml asks for this provider."""

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """What machines of this provider own, or those of a plan, where that depends on it; touches nothing."""

    def preflight(self, plan: Plan) -> list[Problem]:
        """Every reason why `create` could not succeed, at once. Starts nothing, makes nothing."""

    def prepare(self, emit: Emit, phase: str) -> None:
        """Make ready what all labs share and what takes time (engine, node image). `create` does it if nobody has."""

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Make what is missing, repair what is broken, change limits in place; return when SSH works on every node.

        Raises ProviderError naming the node. Never touches an object of another lab.
        """

    def nodes(self, plan: Plan) -> list[Node]:
        """One Node for each of the plan, as the backend reports it now."""

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Start stopped machines; return when SSH works."""

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Stop the machines, keeping them."""

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Remove some machines of the lab with all that is theirs."""

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Keep all nodes as one point in time under this tag; bytes taken, 0 when unknown. Leaves all or nothing.

        Only where `capabilities().snapshot`; raises ProviderError for nodes in a state that cannot be kept.
        """

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Make the machines what they were; `plan` is that of the snapshot. Returns when SSH works on every node."""

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """Remove every snapshot that labctl made of this lab but those `kept`, half-made ones among them."""

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Remove everything that carries this identity, found from the backend alone."""

    def find_labs(self) -> list[LabIdentity]:
        """Labs that the backend knows, from whatever checkout."""

    def close(self, emit: Emit, phase: str) -> None:
        """Let go of the backend; what labctl started for its labs ends with the last of them."""
