"""The container provider: each node is a systemd container on Docker Engine, reached by SSH like any machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from orchestrator import host
from orchestrator.errors import HostError, LabError, Problem, ProviderError
from orchestrator.events import Emit, Step, discard
from orchestrator.model import Capabilities, Node, NodePlan, Plan, ProviderName
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.base import LabIdentity, of_containers
from orchestrator.providers.container import engine, node_image
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container import preflight as container_preflight
from orchestrator.providers.container import reach as container_reach
from orchestrator.providers.container import removal as container_removal
from orchestrator.providers.container import snapshots as container_snapshots
from orchestrator.providers.container.removal import failure

OCI_RUNTIME = "/usr/local/sbin/labctl-runc"
READY_SECONDS = 60
STOP_SECONDS = 30
THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


class ContainerProvider:
    """Machines as containers of the engine that `engine.open_engine` gives. Thread-safe per node.

    `flavours` names the nodes whose image is not the usual Debian one.
    """

    name: ProviderName = "container"

    def __init__(self, flavours: Mapping[str, node_image.Flavour] | None = None) -> None:
        self._flavours = dict(flavours or {})
        self._engine: engine.Engine | None = None
        self._stop = threading.Event()

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """What a container node owns: its network, processes and files, not the kernel."""
        return replace(of_containers("container nodes share the host's kernel"), snapshot=True, oci_runtime=OCI_RUNTIME)

    def preflight(self, plan: Plan) -> list[Problem]:
        """Every reason why `create` could not succeed; looks at an engine that runs, starts none."""
        attached = self._engine or engine.attach()
        try:
            return container_preflight.problems(plan, attached.api if attached else None)
        finally:
            if attached is not None and attached is not self._engine:
                attached.close(discard, "preflight")

    def prepare(self, emit: Emit, phase: str) -> None:
        """Start the engine if nothing answers, and have the node image in it."""
        node_image.ensure(self._open(emit, phase).api, emit, phase)

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Make or repair the nodes, all at once; return when each lets the lab's key in."""
        api = self._open(emit, phase).api
        if missing := container_preflight.kernel_problems(plan):
            raise HostError(missing[0].what, fix=missing[0].fix)
        if foreign := container_preflight.foreign_objects(plan, api):
            raise ProviderError(foreign[0].what, problems=foreign, fix=foreign[0].fix)
        public_key = ssh_access.ensure_key(lab)
        # A lab that is all there needs no image, which may be another one by now and take a minute to make.
        images = self._images(plan, emit, phase) if self._lacks_nodes(plan) else {}
        try:
            self._ensure_network(plan)
            version = str(api.version()["Version"])
        except Exception as error:  # the SDK lets requests' and urllib3's errors through
            raise failure("the lab's network", error) from error
        granted = self._granted(version)

        def one(node: NodePlan) -> None:
            emit(Step(phase=phase, node=node.name, name="create the machine", status="running"))
            changed = self._ensure_container(plan, node, images.get(node.name, ""), granted, public_key)
            status = "changed" if changed else "ok"
            emit(Step(phase=phase, node=node.name, name="create the machine", status=status))

        self._together(one, plan.nodes)
        return self._reach(plan, lab, emit, phase)

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Start the machines that are not running; return when SSH works."""
        api = self._open(emit, phase).api

        def one(node: NodePlan) -> None:
            try:
                found = self._inspect(plan, node.name)
                if found is None:
                    raise ProviderError(f"{node.name} does not exist", fix="labctl provision")
                if found["State"].get("Paused"):
                    api.unpause(found["Id"])  # a save that was killed
                elif not found["State"]["Running"]:
                    api.start(found["Id"])
            except LabError:
                raise
            except Exception as error:
                raise failure(node.name, error) from error

        self._together(one, plan.nodes)
        return self._reach(plan, lab, emit, phase)

    def nodes(self, plan: Plan) -> list[Node]:
        """The plan's nodes as Docker reports them; all missing when no engine runs."""
        if self._open_running() is None:
            return [
                Node(node.name, "missing", ssh_port=node.ssh_port, detail="Docker is not running")
                for node in plan.nodes
            ]
        found = self._api.containers(all=True, filters=spec.selector(plan.uuid))
        return [container_reach.reported(node, found) for node in plan.nodes]

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Shut the nodes down as machines, all at once."""
        if self._open_running() is None:
            return

        def one(node: NodePlan) -> None:
            found = self._inspect(plan, node.name)
            if found is not None and found["State"]["Running"]:
                emit(Step(phase=phase, node=node.name, name="stop the machine", status="running"))
                try:
                    self._api.stop(found["Id"], timeout=STOP_SECONDS)
                except Exception as error:
                    raise failure(node.name, error) from error
                emit(Step(phase=phase, node=node.name, name="stop the machine", status="changed"))

        self._together(one, plan.nodes)

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Remove some of the lab's machines with their volumes."""
        if self._open_running() is not None:
            wanted = [spec.of_node(plan.uuid, name) for name in names]
            self._together(lambda filters: self._remove(filters, emit, phase), wanted)

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Remove every container, volume and network with this lab's UUID, whatever state directory is left."""
        if self._open_running() is None:
            if not engine.dormant():
                return
            self._open(emit, phase)
        self._remove(spec.selector(identity.uuid), emit, phase)

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Freeze the nodes, keep their file systems as images and copies of their volumes; bytes taken."""
        return self._snapshots(plan, emit, phase).save(snapshot, self.nodes(plan))

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Replace every node by what it was; nodes that the plan does not know go. Returns when SSH works."""
        snapshots = self._snapshots(plan, emit, phase)
        snapshots.refuse_incomplete(snapshot)
        granted = self._granted(str(self._api.version()["Version"]))

        def one(node: NodePlan) -> None:
            try:
                image, key, covered = snapshots.refill(node, snapshot)
                config = spec.container_config(plan, node, image, granted, key)
                self._start_new(config, plan, node, [covered])
            except LabError:
                raise
            except Exception as error:
                raise failure(node.name, error) from error

        for name in snapshots.clear():
            self._remove(spec.of_node(plan.uuid, name), emit, phase)
        self._ensure_network(plan)
        self._together(one, plan.nodes)
        return self._reach(plan, lab, emit, phase)

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """Remove every snapshot of the lab but those `kept`, half-made ones among them."""
        if self._open_running() is not None or engine.dormant():
            self._snapshots(plan, emit, phase).sweep(lambda found: found not in kept)

    def find_labs(self) -> list[LabIdentity]:
        """Labs by the labels of what the engine holds: containers, networks and volumes."""
        if self._open_running() is None:
            if not engine.dormant():
                return []
            self._open(discard, "find")
        wanted = {"label": [spec.UUID]}
        objects = [
            *self._api.containers(all=True, filters=wanted),
            *self._api.networks(filters=wanted),
            *(self._api.volumes(filters=wanted)["Volumes"] or ()),
        ]
        found = {lab.uuid: lab for item in objects if (lab := spec.lab_of(item["Labels"]))}
        return sorted(found.values(), key=lambda lab: (lab.name, lab.uuid))

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

    def _together(self, action: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do one thing to all items at the same time; every one is finished before the first failure is raised."""
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                futures = [pool.submit(action, item) for item in items]
                wait(futures)
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _open(self, emit: Emit, phase: str) -> engine.Engine:
        if self._engine is None:
            self._engine = engine.open_engine(emit, phase)
        return self._engine

    def _open_running(self) -> engine.Engine | None:
        if self._engine is None:
            self._engine = engine.attach()
        return self._engine

    def _inspect(self, plan: Plan, node: str) -> dict[str, Any] | None:
        """Docker's record of a node, found by label; None when there is none."""
        found = self._api.containers(all=True, filters=spec.of_node(plan.uuid, node))
        if not found:
            return None
        from docker.errors import NotFound

        try:
            record: dict[str, Any] = self._api.inspect_container(found[0]["Id"])
        except NotFound:
            return None
        return record

    def _ensure_network(self, plan: Plan) -> None:
        for network in self._api.networks(filters=spec.selector(plan.uuid)):
            if container_preflight.same_network(plan, network):
                return
            # The lab moved to another subnet: its containers carry the old addresses and are made anew.
            for container in self._api.containers(all=True, filters=spec.selector(plan.uuid)):
                self._api.remove_container(container["Id"], force=True, v=True)
            self._api.remove_network(network["Id"])
        self._api.create_network(**spec.network_arguments(plan))

    def _ensure_container(
        self, plan: Plan, node: NodePlan, image: str, granted: Sequence[str], public_key: str
    ) -> bool:
        """Bring one node to the plan; whether anything had to be done."""
        try:
            found = self._inspect(plan, node.name)
            if found is not None and self._must_go(plan, node, found):
                self._api.remove_container(found["Id"], force=True, v=True)
                found = None
            if found is None:
                self._make(plan, node, image, granted, public_key)
                return True
            changed = False
            wanted = spec.limits(node)
            if {key: found["HostConfig"].get(key) for key in wanted} != wanted:
                self._api.update_container(
                    found["Id"],
                    cpu_period=wanted["CpuPeriod"],
                    cpu_quota=wanted["CpuQuota"],
                    mem_limit=wanted["Memory"],
                    memswap_limit=wanted["MemorySwap"],
                )
                changed = True
            if found["State"].get("Paused"):
                self._api.unpause(found["Id"])
                changed = True
            stray = not spec.on_network(plan, node, found)
            if stray:
                self._connect(plan, node, found["Id"])
            if stray or not found["State"]["Running"]:
                self._api.put_archive(found["Id"], "/", spec.authorized_keys(public_key))
                self._api.start(found["Id"])
                changed = True
            return changed
        except Exception as error:
            raise failure(node.name, error) from error

    def _images(self, plan: Plan, emit: Emit, phase: str) -> dict[str, str]:
        """The image of each node, all of them in the engine."""
        flavours = {node.name: self._flavours.get(node.name, "debian") for node in plan.nodes}
        names = {one: node_image.ensure(self._api, emit, phase, one) for one in dict.fromkeys(flavours.values())}
        return {node: names[flavour] for node, flavour in flavours.items()}

    def _connect(self, plan: Plan, node: NodePlan, container: str) -> None:
        """Bring a node back to the lab's network, from which somebody took it; leaves it stopped."""
        name = spec.network_name(plan)
        with contextlib.suppress(Exception):  # what is not connected needs no disconnecting
            self._api.disconnect_container_from_network(container, name, force=True)
        self._api.stop(container, timeout=STOP_SECONDS)
        self._api.connect_container_to_network(container, name, ipv4_address=node.address, aliases=[node.name])

    def _lacks_nodes(self, plan: Plan) -> bool:
        """Whether any node has to be made."""
        found = self._together(lambda node: (node, self._inspect(plan, node.name)), plan.nodes)
        return any(record is None or self._must_go(plan, node, record) for node, record in found) or not any(
            container_preflight.same_network(plan, network)
            for network in self._api.networks(filters=spec.selector(plan.uuid))
        )

    def _must_go(self, plan: Plan, node: NodePlan, found: dict[str, Any]) -> bool:
        """Whether a node is half-made (never started) or has what a living container cannot change."""
        if found["State"]["Status"] in ("created", "dead", "removing"):
            return True
        return bool(found["Config"]["Labels"].get(spec.SPEC) != spec.fixed_digest(plan, node))

    def _make(self, plan: Plan, node: NodePlan, image: str, granted: Sequence[str], public_key: str) -> None:
        for volume in spec.VOLUMES:
            name = spec.volume_name(plan, node.name, volume)
            self._api.create_volume(name, labels=spec.labels(spec.identity(plan), node=node.name, part=volume))
        private, public = ssh_access.new_host_key()
        files = (spec.authorized_keys(public_key), spec.host_key_files(private, public))
        self._start_new(spec.container_config(plan, node, image, granted, public), plan, node, files)

    def _start_new(self, config: dict[str, Any], plan: Plan, node: NodePlan, files: Iterable[bytes]) -> None:
        made = self._api.create_container_from_config(config, name=spec.container_name(plan, node.name))
        # Before the start: reading or writing a running container's files mounts its volumes a second time inside it.
        for archive in files:
            self._api.put_archive(made["Id"], "/", archive)
        self._api.start(made["Id"])

    def _granted(self, version: str) -> list[str]:
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
        return spec.grantable(host.missing_capabilities(), last, version)

    def _snapshots(self, plan: Plan, emit: Emit, phase: str) -> container_snapshots.Snapshots:
        api = self._open(emit, phase).client(container_snapshots.COPY_SECONDS)
        return container_snapshots.Snapshots(api, plan, self._together, emit, phase)

    def _reach(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Wait until every node answers on SSH with its pinned key and lets the lab in."""
        nodes = self.nodes(plan)
        ssh_access.write_known_hosts(lab, nodes)
        deadline = time.monotonic() + READY_SECONDS
        waiting = container_reach.Waiting(self._api, plan, lab, deadline, self._stop, emit, phase)

        def one(node: Node) -> None:
            waiting.for_login(node)
            emit(Step(phase=phase, node=node.name, name="reach the machine by SSH", status="ok"))

        self._together(one, nodes)
        return nodes

    def _remove(self, filters: dict[str, list[str]], emit: Emit, phase: str) -> None:
        container_removal.remove(self._api, filters, self._together, emit, phase)
