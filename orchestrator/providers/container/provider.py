"""The container provider: each node is a systemd container on Docker Engine, reached by SSH like any machine."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from orchestrator import host
from orchestrator.checks.host import HostCheck, package_names
from orchestrator.errors import HostError, Problem, ProviderError
from orchestrator.events import Emit, Step, discard
from orchestrator.model import Capabilities, Inotify, Node, NodePlan, Plan, ProviderName
from orchestrator.observed import ProviderTraits, Sizing
from orchestrator.paths import LabDir
from orchestrator.providers import base, ssh_access
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.providers.container import engine, node_image, preflight, reach, snapshots, volumes
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container.baked import BakedNodes, image_name
from orchestrator.providers.container.docker_calls import disk_use, docker_failures, remove
from orchestrator.providers.container.host_checks import host_checks
from orchestrator.providers.container.machines import STOP_SECONDS, Machines
from orchestrator.providers.without_systemd import private_engine
from orchestrator.spec import Spec

OCI_RUNTIME = "/usr/local/sbin/labctl-runc"
READY_SECONDS = 60
# Memory measured with 1.20.2: about 2 GB for four nodes. inotify measured with 1.37.2 at rest (docs/providers.md).
SIZING = Sizing(
    machine_memory=False,
    memory_control_plane=1200,
    memory_worker=350,
    memory_bare=100,
    disk_lab=1500,
    disk_node=1200,
    disk_bare=300,
    minimum_cpus=2,
    inotify_control_plane=Inotify(28, 270),
    inotify_worker=Inotify(15, 180),
    inotify_bare=Inotify(5, 15),
)


def make() -> Provider:
    """The provider."""
    return ContainerProvider()


class ContainerProvider(Provider):
    """Machines as containers of the engine that `engine.open_engine` gives. Thread-safe per node.

    `flavours` names the nodes whose image is not the usual Debian one.
    """

    name: ProviderName = "container"
    traits = ProviderTraits(SIZING, shares_kernel=True, loopback_resolver=True, mounts="bind", forwards=True)

    def __init__(self, flavours: Mapping[str, node_image.Flavour] | None = None) -> None:
        self._flavours = dict(flavours or {})
        self._engine: engine.Engine | None = None
        self._stop = threading.Event()

    def obstacle(self) -> Problem | None:
        """An engine that does not run but that labctl can start is none."""
        problem = engine.obstacle()
        return Problem(problem.message, "this host", problem.fix) if problem else None

    def missing_packages(self, guest: str) -> Sequence[str]:
        """Docker's, where neither an engine answers nor dockerd is installed."""
        installed = shutil.which("dockerd", path=host.SYSTEM_PATH) or engine.running()
        return () if installed else package_names("docker")

    def host_checks(self, spec: Spec, existing: Plan | None) -> Sequence[HostCheck]:
        return host_checks(spec, existing)

    def stopped_service(self) -> str:
        return "" if engine.running() else "Docker engine"

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """What a container node owns: its network, processes and files, not the kernel."""
        shared = base.container_capabilities("container nodes share the host's kernel")
        return replace(shared, oci_runtime=OCI_RUNTIME)

    def preflight(self, plan: Plan) -> list[Problem]:
        """Every reason why `create` could not succeed; looks at an engine that runs, starts none."""
        attached = self._engine or engine.attach()
        try:
            return preflight.problems(plan, attached.api if attached else None)
        finally:
            if attached is not None and attached is not self._engine:
                attached.close(discard, "preflight")

    def prepare(self, emit: Emit, phase: str) -> None:
        """Start the engine if nothing answers, and have the node image in it."""
        node_image.ensure(self._open(emit, phase).api, emit, phase)

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str, baked: str = "") -> list[Node]:
        """Make or repair the nodes, all at once; return when each lets the lab's key in."""
        api = self._open(emit, phase).api
        if missing := preflight.kernel_problems(plan):
            raise HostError(missing[0].what, fix=missing[0].fix)
        if foreign := preflight.foreign_objects(plan, api):
            raise ProviderError(foreign[0].what, problems=foreign, fix=foreign[0].fix)
        public_key = ssh_access.ensure_key(lab)
        # A lab that is complete needs no image, which may be another one by now and take a minute to make.
        images = self._images(plan, baked, emit, phase) if self._lacks_nodes(plan) else {}
        machines = Machines(api, plan)
        if baked:
            machines = replace(machines, fill=partial(self.bakery(emit, phase).fill, plan, key=baked))
        with docker_failures("the lab's network"):
            machines.ensure_network()

        def ensure(node: NodePlan) -> None:
            emit(Step(phase=phase, node=node.name, name="create the machine", status="running"))
            with docker_failures(node.name):
                changed = machines.ensure(node, images.get(node.name, ""), public_key)
            status = "changed" if changed else "ok"
            emit(Step(phase=phase, node=node.name, name="create the machine", status=status))

        self._run_parallel(ensure, plan.nodes)
        return self._wait_for_login(plan, lab, emit, phase)

    def bakery(self, emit: Emit, phase: str) -> BakedNodes:
        """The engine's images and volumes; nodes of another image than the usual one are not baked."""
        client = self._open(emit, phase).client(volumes.COPY_SECONDS)
        return BakedNodes(client, "" if self._flavours else node_image.tag())

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Start the machines that are not running; return when SSH works."""
        api = self._open(emit, phase).api
        machines = Machines(api, plan)

        def start(node: NodePlan) -> None:
            with docker_failures(node.name):
                record = machines.inspect(node.name)
                if record is None:
                    raise ProviderError(f"{node.name} does not exist", fix="labctl provision")
                if record["State"].get("Paused"):
                    api.unpause(record["Id"])  # a save that was killed
                elif not record["State"]["Running"]:
                    api.start(record["Id"])

        self._run_parallel(start, plan.nodes)
        return self._wait_for_login(plan, lab, emit, phase)

    def nodes(self, plan: Plan) -> list[Node]:
        """The plan's nodes as Docker reports them; all missing when no engine runs."""
        if not self._attach():
            detail = "Docker is not running"
            return [Node(node.name, "missing", ssh_port=node.ssh_port, detail=detail) for node in plan.nodes]
        containers = self._api.containers(all=True, filters=spec.selector(plan.uuid))
        return [reach.reported(node, containers) for node in plan.nodes]

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Shut the nodes down as machines, all at once."""

        def stop(node: NodePlan) -> None:
            record = Machines(self._api, plan).inspect(node.name)
            if record is not None and record["State"]["Running"]:
                with base.changing("stop the machine", node.name, emit, phase), docker_failures(node.name):
                    self._api.stop(record["Id"], timeout=STOP_SECONDS)

        if self._attach():
            self._run_parallel(stop, plan.nodes)

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Remove some of the lab's machines with their volumes."""
        if self._attach():
            filters = [spec.of_node(plan.uuid, name) for name in names]
            self._run_parallel(lambda one: self._remove(one, emit, phase), filters)

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Remove every container, volume and network with this lab's UUID, whatever state directory is left."""
        if self._attach_or_wake(emit, phase):
            self._remove(spec.selector(identity.uuid), emit, phase)

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Freeze the nodes, keep their file systems as images and copies of their volumes; bytes taken."""
        return self._snapshots(plan, emit, phase).save(snapshot, self.nodes(plan))

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Replace every node by what it was; nodes that the plan does not know go. Returns when SSH works."""
        kept = self._snapshots(plan, emit, phase)
        kept.refuse_incomplete(snapshot)
        machines = Machines(self._api, plan)

        def restore(node: NodePlan) -> None:
            with docker_failures(node.name):
                image, key, covered = kept.refill(node, snapshot)
                machines.start_new(node, image, key, [covered])

        for name in kept.clear():
            self._remove(spec.of_node(plan.uuid, name), emit, phase)
        machines.ensure_network()
        self._run_parallel(restore, plan.nodes)
        return self._wait_for_login(plan, lab, emit, phase)

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """Remove every snapshot of the lab but those `kept`, incomplete ones among them."""
        if self._attach() or private_engine.is_dormant():
            self._snapshots(plan, emit, phase).sweep(lambda name: name not in kept)

    def find_labs(self) -> list[LabIdentity]:
        """Labs by the labels of what the engine holds: containers, networks and volumes."""
        if not self._attach_or_wake(discard, "find"):
            return []
        filters = {"label": [spec.UUID]}
        objects = [
            *self._api.containers(all=True, filters=filters),
            *self._api.networks(filters=filters),
            *(self._api.volumes(filters=filters)["Volumes"] or ()),
        ]
        labs = {lab.uuid: lab for item in objects if (lab := spec.lab_of(item["Labels"]))}
        return sorted(labs.values(), key=lambda lab: (lab.name, lab.uuid))

    def disk_use(self, lab: LabIdentity) -> int:
        """What its nodes wrote and what is in their volumes; layers that labs share count for each."""
        return disk_use(self._api, f"{spec.UUID}={lab.uuid}") if self._engine else 0

    def close(self, emit: Emit, phase: str) -> None:
        """Let go of the engine; a private one that holds nothing any more is stopped."""
        if self._engine is not None:
            self._engine.close(emit, phase)
            self._engine = None

    # Inside.

    @property
    def _api(self) -> Any:
        assert self._engine is not None
        return self._engine.api

    def _run_parallel(self, action: Callable[[base.T], base.R], items: Iterable[base.T]) -> list[base.R]:
        return base.run_parallel(action, items, self._stop.set)

    def _open(self, emit: Emit, phase: str) -> engine.Engine:
        if self._engine is None:
            self._engine = engine.open_engine(emit, phase)
        return self._engine

    def _attach(self) -> bool:
        """Whether an engine runs, which is then used."""
        if self._engine is None:
            self._engine = engine.attach()
        return self._engine is not None

    def _attach_or_wake(self, emit: Emit, phase: str) -> bool:
        """The same, where a private engine that holds labs is started, as after a reboot of the host."""
        if not self._attach() and private_engine.is_dormant():
            self._open(emit, phase)
        return self._engine is not None

    def _images(self, plan: Plan, baked: str, emit: Emit, phase: str) -> dict[str, str]:
        """The image of each node, all of them in the engine."""
        if baked:
            return {node.name: image_name(baked) for node in plan.nodes}
        flavours = {node.name: self._flavours.get(node.name, node_image.DEBIAN) for node in plan.nodes}
        names = {
            one: node_image.ensure(self._api, emit, phase, one, node_image.source_of(plan.source.bundle_id, one))
            for one in dict.fromkeys(flavours.values())
        }
        return {node: names[flavour] for node, flavour in flavours.items()}

    def _lacks_nodes(self, plan: Plan) -> bool:
        """Whether any node has to be created."""
        machines = Machines(self._api, plan)
        records = self._run_parallel(lambda node: machines.inspect(node.name), plan.nodes)
        pairs = zip(plan.nodes, records, strict=True)
        return not machines.has_network() or any(machines.must_be_created(node, record) for node, record in pairs)

    def _snapshots(self, plan: Plan, emit: Emit, phase: str) -> snapshots.Snapshots:
        api = self._open(emit, phase).client(volumes.COPY_SECONDS)
        return snapshots.Snapshots(api, plan, self._run_parallel, emit, phase)

    def _wait_for_login(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Wait until every node answers on SSH with its pinned key and lets the lab in."""
        nodes = self.nodes(plan)
        ssh_access.write_known_hosts(lab, nodes)
        deadline = time.monotonic() + READY_SECONDS
        waiting = reach.Waiting(self._api, plan, lab, deadline, self._stop, emit, phase)

        def wait(node: Node) -> None:
            waiting.for_login(node)
            emit(Step(phase=phase, node=node.name, name="reach the machine by SSH", status="ok"))

        self._run_parallel(wait, nodes)
        return nodes

    def _remove(self, filters: dict[str, list[str]], emit: Emit, phase: str) -> None:
        remove(self._api, filters, self._run_parallel, emit, phase)
