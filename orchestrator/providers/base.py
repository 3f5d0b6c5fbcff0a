"""What every provider answers and does; the rest of labctl knows providers through this Protocol alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from orchestrator import host
from orchestrator.checks.host import HostCheck
from orchestrator.errors import Problem
from orchestrator.events import Emit, Step
from orchestrator.model import Capabilities, Node, NodePlan, Plan, ProviderName
from orchestrator.observed import ProviderTraits
from orchestrator.paths import LabDir
from orchestrator.spec import Spec

THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class LabIdentity:
    """What tells a lab from every other, as its machines carry it: name, UUID, directory that holds lab.yml."""

    name: str
    uuid: str
    owner: str

    @property
    def directory(self) -> LabDir:
        """Where the lab's state lies, if it still exists."""
        return LabDir(Path(self.owner) / ".labctl" / self.name)


@dataclass(frozen=True)
class Rendering:
    """Files from which a lab's machines can be made without labctl, by name, and what to know about them."""

    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def identity(plan: Plan) -> LabIdentity:
    """The identity that the machines of a plan carry."""
    return LabIdentity(plan.name, plan.uuid, plan.owner)


def container_capabilities(shared: str) -> Capabilities:
    """What machines have that run on the kernel of their host; `shared` says so, for the reasons."""
    return Capabilities(
        own_kernel=False,
        own_swap=False,
        own_modules=False,
        own_conntrack_limits=False,
        selinux=False,
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
    """The nodes that are missing or broken, as problems for a command that needs all of them."""
    return [
        Problem(f"is {node.state}{f' ({node.detail})' if node.detail else ''}", node.name, "labctl provision")
        for node in nodes
        if node.state in ("missing", "broken")
    ]


def run_parallel(action: Callable[[T], R], items: Iterable[T], stop: Callable[[], None] = lambda: None) -> list[R]:
    """Results of one action on all items at the same time; every one is finished before the first failure is raised.

    `stop` is called on an interrupt, which then does not wait for the rest.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            futures = [pool.submit(action, item) for item in items]
            wait(futures)
        except BaseException:
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


@contextmanager
def changing(name: str, node: str, emit: Emit, phase: str) -> Iterator[None]:
    """Report a step as running, and as changed at the end of the block."""
    emit(Step(phase=phase, node=node, name=name, status="running"))
    yield
    emit(Step(phase=phase, node=node, name=name, status="changed"))


class Bakery(Protocol):
    """Baked nodes: machines that the roles prepared and that a backend keeps, each under a key, to be cloned."""

    @property
    def base_image(self) -> str:
        """What new machines are made of, by a name that changes with it."""

    def keep(self, plan: Plan, node: NodePlan, key: str) -> int:
        """Keep a machine whose services are stopped; it ends with that. Returns the bytes that it takes."""

    def seal(self, plan: Plan, key: str) -> str:
        """A line that changes with every byte of a baked node; empty when it is not complete."""

    def remove(self, keys: Collection[str]) -> None:
        """Remove baked nodes; the machines that were cloned from them stay."""


class Provider(Protocol):
    """Machines of one kind. `phase` is the phase that the caller has opened and under which events are emitted.

    Every method but `close` may be called again after a failure or a kill: it continues from the existing state.
    """

    name: ProviderName
    """The name in lab.yml."""
    traits: ProviderTraits

    def obstacle(self) -> Problem | None:
        """Why this host cannot run the provider at all; None when it can. Starts nothing."""
        return None

    def only_named(self) -> str:
        """Why `auto` passes this provider by although it can be used; empty when it does not."""
        return ""

    def missing_packages(self, guest: str) -> Sequence[str]:
        """Packages of this host's package manager that a lab needs and that are not installed."""
        return ()

    def host_checks(self, spec: Spec, existing: Plan | None) -> Sequence[HostCheck]:
        """What labs of this provider need of the host, as checks for `labctl doctor`."""
        return ()

    def stopped_service(self) -> str:
        """What `create` would have to start on this host, in words; empty when nothing."""
        return ""

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """What machines of this provider own, or those of a plan, where that depends on it; touches nothing."""

    def ssh_endpoint(self, plan: Plan, node: NodePlan) -> tuple[str, str, int]:
        """User, address and port under which this host reaches a node; a forward on 127.0.0.1 by default."""
        return "vagrant", "127.0.0.1", node.ssh_port

    def rendering(self, plan: Plan, to: Path) -> Rendering:
        """Files that make the plan's machines without labctl, to be written to a directory; starts nothing."""
        return Rendering(notes=(f"the provider {self.name} needs no Vagrantfile",))

    def preflight(self, plan: Plan) -> list[Problem]:
        """Every reason why `create` could not succeed, at once. Starts nothing, makes nothing."""

    def prepare(self, emit: Emit, phase: str) -> None:
        """Make ready what all labs share and what takes time (engine, node image). `create` does it if nobody has."""
        return

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str, baked: str = "") -> list[Node]:
        """Make what is missing, repair what is broken, change limits in place; return when SSH works on every node.

        New machines are clones of the baked node with the key `baked`, unless that is empty. Raises ProviderError
        naming the node. Never touches an object of another lab.
        """

    def nodes(self, plan: Plan) -> list[Node]:
        """One Node for each of the plan, as the backend reports it now."""

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Start stopped machines; return when SSH works."""

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Stop the machines, keeping them."""

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Remove some machines of the lab with all that is theirs."""

    def bakery(self, emit: Emit, phase: str) -> Bakery | None:
        """Where machines are kept to be cloned; None where they are never."""
        return None

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Keep all nodes as one point in time under this tag; bytes taken, 0 when unknown. Leaves all or nothing.

        Only where `capabilities().snapshot`; raises ProviderError for nodes in a state that cannot be kept.
        """

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Make the machines what they were; `plan` is that of the snapshot. Returns when SSH works on every node."""

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """Remove every snapshot that labctl made of this lab but those `kept`, incomplete ones among them."""
        return

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Remove everything that carries this identity, found from the backend alone."""

    def disk_use(self, lab: LabIdentity) -> int | None:
        """Bytes that a lab's machines hold on this host; None where nobody can tell. After `find_labs`."""
        return None

    def find_labs(self) -> list[LabIdentity]:
        """Labs that the backend knows, from whatever checkout."""

    def close(self, emit: Emit, phase: str) -> None:
        """Let go of the backend; what labctl started for its labs ends with the last of them."""
        return
