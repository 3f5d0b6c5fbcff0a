"""Snapshots of container nodes: each node's file system as an image, its volumes as copies, all taken while frozen."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import host
from orchestrator.errors import HostError, Problem, ProviderError
from orchestrator.events import Emit, Step
from orchestrator.model import Node, NodePlan, Plan
from orchestrator.providers.base import changing, identity, unusable
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container import volumes
from orchestrator.providers.container.docker_calls import RunParallel, docker_failures, execute

if TYPE_CHECKING:
    from docker import APIClient

SNAPSHOT, PIECE = "labctl.snapshot", "labctl.snapshot-of"
REPOSITORY = "labctl/snapshot"
# The engine covers these in every new container, whatever the image says; a copy elsewhere comes through.
COVERED = "etc/hosts etc/resolv.conf etc/hostname"
UNCOVERED = "/etc/.labctl-mounted"
# Left free on the engine's disk besides the copies.
RESERVE_MB = 500
SIZE = "du -sb /volumes | cut -f1"


def image_name(plan: Plan, snapshot: str, node: str) -> str:
    """The image that holds a node's file system as it was."""
    return f"{REPOSITORY}:{plan.uuid[:8]}-{snapshot}-{node}"


def volume_name(plan: Plan, snapshot: str, node: str, volume: str) -> str:
    """The volume that holds the copy of one of a node's volumes."""
    return f"labctl-{plan.uuid[:8]}-{snapshot}-{node}-{volume}"


def labels(plan: Plan, snapshot: str, node: str) -> dict[str, str]:
    """Labels of a snapshot's parts: the lab's own, so that destroy finds them, and no node's, so that only it does."""
    return {**spec.labels(identity(plan)), spec.NODE: "", SNAPSHOT: snapshot, PIECE: node}


def disk_problem(needed: int, free: int, path: str) -> Problem | None:
    """Why a snapshot of `needed` MB does not fit where `free` MB are free; None when it does."""
    if free >= needed + RESERVE_MB:
        return None
    text = f"{free} MB are free, the snapshot takes about {needed} MB and {RESERVE_MB} MB stay free"
    return Problem(text, path, "labctl snapshot list; labctl snapshot delete NAME, or free space there")


def state_problems(nodes: Sequence[Node]) -> list[Problem]:
    """Why nodes in these states cannot be saved as one point in time."""
    problems = unusable(nodes)
    if not problems and (stopped := [node.name for node in nodes if node.state != "running"]):
        problems = [Problem("only running machines can be saved", ", ".join(stopped), "labctl start")]
    return problems


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one lab in an engine; `api` has no short time limit, `run_parallel` works on nodes at once."""

    api: APIClient
    plan: Plan
    run_parallel: RunParallel
    emit: Emit
    phase: str

    def save(self, snapshot: str, nodes: Sequence[Node]) -> int:
        """Save every node as it is at one moment; bytes taken. Nothing of it stays when that fails."""
        if problems := state_problems(nodes):
            raise ProviderError("the lab cannot be saved as it is", problems=problems)
        try:
            with docker_failures("the snapshot"):
                self._refuse_full_disk()
                self.run_parallel(self._uncover, self.plan.nodes)
                with self._frozen():
                    return sum(self.run_parallel(lambda node: self._save(node, snapshot), self.plan.nodes))
        except BaseException:
            with contextlib.suppress(Exception):  # the first failure is the one to report
                self.sweep(lambda name: name == snapshot)
            raise

    def refuse_incomplete(self, snapshot: str) -> None:
        """Raise ProviderError when the engine no longer has every part, naming the nodes."""
        existing = {item["Name"] for item in self._volumes()}
        gone = [
            node.name
            for node in self.plan.nodes
            if not self.api.images(name=image_name(self.plan, snapshot, node.name))
            or not {volume_name(self.plan, snapshot, node.name, volume) for volume in spec.VOLUMES} <= existing
        ]
        if gone:
            text = f"the engine no longer has the snapshot of {', '.join(gone)}"
            raise ProviderError(text, fix="labctl snapshot delete NAME")

    def clear(self) -> set[str]:
        """Remove the lab's containers, whatever runs in them; the names of those that the plan does not know."""
        listed = self.api.containers(all=True, filters=spec.selector(self.plan.uuid))
        with docker_failures("the machines"):
            self.run_parallel(lambda item: self.api.remove_container(item["Id"], force=True), listed)
        return {item["Labels"].get(spec.NODE, "") for item in listed} - {node.name for node in self.plan.nodes} - {""}

    def refill(self, node: NodePlan, snapshot: str) -> tuple[str, str, bytes]:
        """Empty the volumes of a node and fill them as they were; its image, public host key and covered files."""
        image = image_name(self.plan, snapshot, node.name)
        with changing("restore the machine", node.name, self.emit, self.phase):
            self._copy(node, image, snapshot, back=True)
            covered = self._run(image, f"tar -C {UNCOVERED} -c etc | base64 -w0", {})
        key = str(self._image(image)["Config"]["Labels"].get(spec.HOST_KEY, ""))
        return image, key, base64.b64decode(covered)

    def sweep(self, unwanted: Callable[[str], bool]) -> None:
        """Remove the parts of every snapshot that is unwanted; an image in use goes when its node does."""
        with docker_failures("an old snapshot"):
            self._sweep(unwanted)

    # Inside.

    def _volumes(self) -> list[dict[str, Any]]:
        return self.api.volumes(filters=spec.selector(self.plan.uuid))["Volumes"] or []

    def _sweep(self, unwanted: Callable[[str], bool]) -> None:
        from docker.errors import APIError, NotFound

        def is_unwanted(item: Mapping[str, Any]) -> bool:
            snapshot = (item.get("Labels") or {}).get(SNAPSHOT, "")
            return bool(snapshot) and unwanted(snapshot)

        selector = spec.selector(self.plan.uuid)
        # What copied for a command that was killed still holds the volumes.
        copies = [*selector["label"], f"{spec.PART}={volumes.COPY}"]
        for item in self.api.containers(all=True, filters={"label": copies}):
            self.api.remove_container(item["Id"], force=True)
        images = sorted(self.api.images(filters=selector), key=lambda image: -int(image["Created"]))
        for item in filter(is_unwanted, images):
            name = f"remove the image of {item['Labels'].get(PIECE, '')}"
            self.emit(Step(phase=self.phase, node="", name=name, status="running"))
            for tag in item.get("RepoTags") or (item["Id"],):
                # A node that was restored from it still stands on it; without its name it goes with that node.
                with contextlib.suppress(APIError):
                    self.api.remove_image(tag if tag != "<none>:<none>" else item["Id"], force=True)
        for item in filter(is_unwanted, self._volumes()):
            with contextlib.suppress(NotFound):
                self.api.remove_volume(item["Name"], force=True)

    def _size(self) -> int:
        """MB that a snapshot takes now: what the nodes wrote into their file systems and volumes."""
        listed = self.api.containers(all=True, size=True, filters=spec.selector(self.plan.uuid))
        written = sum(int(item.get("SizeRw") or 0) for item in listed)
        mounts = {
            f"/volumes/{node.name}-{volume}": spec.volume_name(self.plan, node.name, volume)
            for node in self.plan.nodes
            for volume in spec.VOLUMES
        }
        image = next(str(item["ImageID"]) for item in listed)
        return (written + int(self._run(image, SIZE, mounts, read_only=True).split()[-1])) // 2**20

    def _refuse_full_disk(self) -> None:
        """Raise HostError when the engine's disk cannot take a snapshot."""
        root = Path(self.api.info()["DockerRootDir"])
        if problem := disk_problem(self._size(), host.disk_free(root), str(root)):
            raise HostError(f"{problem.where}: {problem.what}", fix=problem.fix)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Stop every process of every running node for the length of the block, so that no node is ahead of another."""
        running = self.api.containers(filters=spec.selector(self.plan.uuid))
        names = [item["Id"] for item in running if item["Labels"].get(spec.NODE)]
        try:
            self.run_parallel(self.api.pause, names)
            yield
        finally:
            self.run_parallel(self._thaw, names)

    def _thaw(self, container: str) -> None:
        from docker.errors import APIError

        with contextlib.suppress(APIError):  # not frozen
            self.api.unpause(container)

    def _uncover(self, node: NodePlan) -> None:
        """Copy those files of a running node that no image could give back."""
        container = self.api.containers(filters=spec.of_node(self.plan.uuid, node.name))[0]
        script = f"mkdir -p {UNCOVERED}; cd /; cp -a --parents {COVERED} {UNCOVERED}"
        succeeded, output = execute(self.api, container["Id"], ["/bin/sh", "-ec", script], "0")
        if not succeeded:
            raise ProviderError(f"{node.name}: {output or 'its files cannot be copied'}", fix="labctl verify")

    def _save(self, node: NodePlan, snapshot: str) -> int:
        with changing("copy the machine", node.name, self.emit, self.phase):
            container = self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, node.name))[0]
            self._copy(node, container["ImageID"], snapshot, back=False)
            repository, _, tag = image_name(self.plan, snapshot, node.name).partition(":")
            changes = [f'LABEL {key}="{value}"' for key, value in labels(self.plan, snapshot, node.name).items()]
            made = self.api.commit(container["Id"], repository=repository, tag=tag, pause=False, changes=changes)["Id"]
            size = int(self._image(made)["Size"]) - int(self._image(container["ImageID"])["Size"])
            mounts = {
                f"/volumes/{volume}": volume_name(self.plan, snapshot, node.name, volume) for volume in spec.VOLUMES
            }
            return size + int(self._run(made, SIZE, mounts, read_only=True).split()[-1])

    def _copy(self, node: NodePlan, image: str, snapshot: str, *, back: bool) -> None:
        """Copy the volumes of a node into those of the snapshot, or back; what was in the target goes."""
        own = spec.labels(identity(self.plan), node=node.name)
        pairs: dict[str, tuple[str, str]] = {}
        for volume in spec.VOLUMES:
            live = spec.volume_name(self.plan, node.name, volume)
            kept = volume_name(self.plan, snapshot, node.name, volume)
            self.api.create_volume(kept, labels=labels(self.plan, snapshot, node.name))
            self.api.create_volume(live, labels={**own, spec.PART: volume})
            pairs[volume] = (kept, live) if back else (live, kept)
        self._run(image, *volumes.copying(pairs))

    def _run(self, image: str, script: str, mounts: Mapping[str, str], *, read_only: bool = False) -> str:
        own = {**spec.labels(identity(self.plan), part=volumes.COPY), spec.NODE: "", SNAPSHOT: ""}
        return volumes.run_over(self.api, image, script, mounts, own, read_only=read_only)

    def _image(self, name: str) -> dict[str, Any]:
        api: Any = self.api
        return dict(api.inspect_image(name))
