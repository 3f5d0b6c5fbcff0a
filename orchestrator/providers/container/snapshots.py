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
from orchestrator.errors import HostError, LabError, Problem, ProviderError
from orchestrator.events import Emit, Step
from orchestrator.model import Node, NodePlan, Plan
from orchestrator.providers.base import unusable
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container.removal import Together, failure

if TYPE_CHECKING:
    from docker import APIClient

SNAPSHOT, PIECE = "labctl.snapshot", "labctl.snapshot-of"
REPOSITORY = "labctl/snapshot"
# The part of a lab that a container is which only copies.
COPY = "copy"
# The engine covers these in every new container, whatever the image says; a copy elsewhere comes through.
COVERED = "etc/hosts etc/resolv.conf etc/hostname"
UNCOVERED = "/etc/.labctl-mounted"
# Committing a layer and copying volumes, one node, on a slow disk.
COPY_SECONDS = 1200
# Left free on the engine's disk besides the copies.
RESERVE_MB = 500


def image_name(plan: Plan, snapshot: str, node: str) -> str:
    """The image that holds a node's file system as it was."""
    return f"{REPOSITORY}:{plan.uuid[:8]}-{snapshot}-{node}"


def volume_name(plan: Plan, snapshot: str, node: str, volume: str) -> str:
    """The volume that holds the copy of one of a node's volumes."""
    return f"labctl-{plan.uuid[:8]}-{snapshot}-{node}-{volume}"


def labels(plan: Plan, snapshot: str, node: str) -> dict[str, str]:
    """Labels of a snapshot's parts: the lab's own, so that destroy finds them, and no node's, so that only it does."""
    return {**spec.labels(spec.identity(plan)), spec.NODE: "", SNAPSHOT: snapshot, PIECE: node}


def disk_problem(needed: int, free: int, path: str) -> Problem | None:
    """Why a snapshot of `needed` MB does not fit where `free` MB are free; None when it does."""
    if free >= needed + RESERVE_MB:
        return None
    text = f"{free} MB are free, the snapshot takes about {needed} MB and {RESERVE_MB} MB stay free"
    return Problem(text, path, "labctl snapshot list; labctl snapshot delete NAME, or free space there")


def state_problems(nodes: Sequence[Node]) -> list[Problem]:
    """Why nodes in these states cannot be taken as one point in time."""
    found = unusable(nodes)
    if not found and (off := [node.name for node in nodes if node.state != "running"]):
        found = [Problem("only running machines can be saved", ", ".join(off), "labctl start")]
    return found


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one lab in an engine; `api` has no short time limit, `together` works on nodes at once."""

    api: APIClient
    plan: Plan
    together: Together
    emit: Emit
    phase: str

    def save(self, snapshot: str, nodes: Sequence[Node]) -> int:
        """Take every node as it is at one moment; bytes taken. Nothing of it stays when that fails."""
        if found := state_problems(nodes):
            raise ProviderError("the lab cannot be saved as it is", problems=found)
        try:
            self._refuse_full_disk()
            self.together(self._uncover, self.plan.nodes)
            with self._frozen():
                return sum(self.together(lambda node: self._save(node, snapshot), self.plan.nodes))
        except BaseException as error:
            with contextlib.suppress(Exception):  # the first failure is the one to tell
                self.sweep(lambda found: found == snapshot)
            if isinstance(error, LabError) or not isinstance(error, Exception):
                raise
            raise failure("the snapshot", error) from error

    def refuse_incomplete(self, snapshot: str) -> None:
        """Raise ProviderError when the engine no longer has every part, naming the nodes."""
        volumes = {item["Name"] for item in self.api.volumes(filters=spec.selector(self.plan.uuid))["Volumes"] or ()}
        gone = [
            node.name
            for node in self.plan.nodes
            if not self.api.images(name=image_name(self.plan, snapshot, node.name))
            or not {volume_name(self.plan, snapshot, node.name, volume) for volume in spec.VOLUMES} <= volumes
        ]
        if gone:
            raise ProviderError(
                f"the engine no longer has the snapshot of {', '.join(gone)}", fix="labctl snapshot delete NAME"
            )

    def clear(self) -> set[str]:
        """Remove the lab's containers, whatever runs in them; the names of those that the plan does not know."""
        listed = self.api.containers(all=True, filters=spec.selector(self.plan.uuid))
        try:
            self.together(lambda item: self.api.remove_container(item["Id"], force=True), listed)
        except Exception as error:
            raise failure("the machines", error) from error
        return {item["Labels"].get(spec.NODE, "") for item in listed} - {node.name for node in self.plan.nodes} - {""}

    def refill(self, node: NodePlan, snapshot: str) -> tuple[str, str, bytes]:
        """Empty the volumes of a node and fill them as they were; its image, public host key and covered files."""
        self._tell("bring back the machine", node.name)
        image = image_name(self.plan, snapshot, node.name)
        self._copy(node, image, snapshot, back=True)
        covered = self._work(image, f"tar -C {UNCOVERED} -c etc | base64 -w0", {})
        self._tell("bring back the machine", node.name, "changed")
        key = str(self._image(image)["Config"]["Labels"].get(spec.HOST_KEY, ""))
        return image, key, base64.b64decode(covered)

    def sweep(self, unwanted: Callable[[str], bool]) -> None:
        """Remove the parts of every snapshot that is unwanted; an image in use goes when its node does."""
        try:
            self._sweep(unwanted)
        except Exception as error:
            raise failure("an old snapshot", error) from error

    # Inside.

    def _sweep(self, unwanted: Callable[[str], bool]) -> None:
        from docker.errors import APIError, NotFound

        chosen = spec.selector(self.plan.uuid)
        # What copied for a command that was killed still holds the volumes.
        for item in self.api.containers(all=True, filters={"label": [*chosen["label"], f"{spec.PART}={COPY}"]}):
            self.api.remove_container(item["Id"], force=True)
        for item in sorted(self.api.images(filters=chosen), key=lambda image: -int(image["Created"])):
            found = (item.get("Labels") or {}).get(SNAPSHOT, "")
            if found and unwanted(found):
                self._tell(f"remove the image of {item['Labels'].get(PIECE, '')}")
                for name in item.get("RepoTags") or (item["Id"],):
                    # A node that was restored from it still stands on it; without its name it goes with that node.
                    with contextlib.suppress(APIError):
                        self.api.remove_image(name if name != "<none>:<none>" else item["Id"], force=True)
        for item in self.api.volumes(filters=chosen)["Volumes"] or ():
            found = (item.get("Labels") or {}).get(SNAPSHOT, "")
            if found and unwanted(found):
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
        said = self._work(image, "du -sb /volumes | cut -f1", mounts, read_only=True)
        return (written + int(said.split()[-1])) // 2**20

    def _refuse_full_disk(self) -> None:
        """Raise HostError when the engine's disk cannot take a snapshot."""
        root = Path(self.api.info()["DockerRootDir"])
        place = next(path for path in (root, *root.parents) if path.exists())
        if problem := disk_problem(self._size(), host.disk_free(place), str(root)):
            raise HostError(f"{problem.where}: {problem.what}", fix=problem.fix)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Stop every process of every running node for the length of the block, so that no node is ahead of another."""
        running = self.api.containers(filters=spec.selector(self.plan.uuid))
        names = [item["Id"] for item in running if item["Labels"].get(spec.NODE)]
        try:
            self.together(self.api.pause, names)
            yield
        finally:
            self.together(self._thaw, names)

    def _thaw(self, container: str) -> None:
        from docker.errors import APIError

        with contextlib.suppress(APIError):  # not frozen
            self.api.unpause(container)

    def _uncover(self, node: NodePlan) -> None:
        """Copy those files of a running node that no image could give back."""
        container = self.api.containers(filters=spec.of_node(self.plan.uuid, node.name))[0]
        script = f"mkdir -p {UNCOVERED}; cd /; cp -a --parents {COVERED} {UNCOVERED}"
        run = self.api.exec_create(container["Id"], ["/bin/sh", "-ec", script], user="0")
        said = self.api.exec_start(run["Id"]).decode(errors="replace").strip()
        if self.api.exec_inspect(run["Id"])["ExitCode"] != 0:
            raise ProviderError(f"{node.name}: {said or 'its files cannot be copied'}", fix="labctl verify")

    def _save(self, node: NodePlan, snapshot: str) -> int:
        self._tell("copy the machine", node.name)
        wanted = labels(self.plan, snapshot, node.name)
        container = self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, node.name))[0]
        self._copy(node, container["ImageID"], snapshot, back=False)
        name = image_name(self.plan, snapshot, node.name)
        repository, _, tag = name.partition(":")
        words = [f'LABEL {key}="{value}"' for key, value in wanted.items()]
        made = self.api.commit(container["Id"], repository=repository, tag=tag, pause=False, changes=words)["Id"]
        before = self._image(container["ImageID"])["Size"]
        size = int(self._image(made)["Size"]) - int(before) + self._copied(node, made, snapshot)
        self._tell("copy the machine", node.name, "changed")
        return size

    def _copy(self, node: NodePlan, image: str, snapshot: str, *, back: bool) -> None:
        """Copy the volumes of a node into those of the snapshot, or back; what was in the target goes."""
        own = spec.labels(spec.identity(self.plan), node=node.name)
        script: list[str] = []
        mounts: dict[str, str] = {}
        for volume in spec.VOLUMES:
            live, kept = (
                spec.volume_name(self.plan, node.name, volume),
                volume_name(self.plan, snapshot, node.name, volume),
            )
            self.api.create_volume(kept, labels=labels(self.plan, snapshot, node.name))
            self.api.create_volume(live, labels={**own, spec.PART: volume})
            source, target = (kept, live) if back else (live, kept)
            mounts |= {f"/from/{volume}": source, f"/to/{volume}": target}
            script.append(f"find /to/{volume} -mindepth 1 -delete; cp -a --reflink=auto /from/{volume}/. /to/{volume}/")
        self._work(image, "; ".join(script), mounts)

    def _copied(self, node: NodePlan, image: str, snapshot: str) -> int:
        mounts = {f"/volumes/{volume}": volume_name(self.plan, snapshot, node.name, volume) for volume in spec.VOLUMES}
        return int(self._work(image, "du -sb /volumes | cut -f1", mounts, read_only=True).split()[-1])

    def _work(self, image: str, script: str, mounts: Mapping[str, str], *, read_only: bool = False) -> str:
        """Run a shell script as root over volumes, in a container that is removed afterwards; what it printed."""
        config = {
            "Image": image,
            "Entrypoint": ["/bin/sh", "-ec", script],
            "Cmd": [],
            "Labels": {**spec.labels(spec.identity(self.plan), part=COPY), spec.NODE: "", SNAPSHOT: ""},
            "HostConfig": {
                "NetworkMode": "none",
                # The layers of the containers in a node carry attributes that only this capability sees.
                "CapAdd": ["SYS_ADMIN"],
                "SecurityOpt": ["apparmor=unconfined", "label=disable"],
                "Mounts": [
                    {"Type": "volume", "Source": name, "Target": target, "ReadOnly": read_only}
                    for target, name in mounts.items()
                ],
            },
        }
        api: Any = self.api
        made = api.create_container_from_config(config)["Id"]
        try:
            self.api.start(made)
            code = self.api.wait(made, timeout=COPY_SECONDS)["StatusCode"]
            said = self.api.logs(made).decode(errors="replace")
        finally:
            self.api.remove_container(made, force=True, v=False)
        if code != 0:
            last = said.strip().splitlines()[-1:] or ["it said nothing"]
            full = "No space left" in last[0]
            fix = "free space where Docker keeps its data (docker info); then again" if full else "labctl doctor"
            raise (HostError if full else ProviderError)(f"copying volumes failed: {last[0]}", fix=fix)
        return said

    def _image(self, name: str) -> dict[str, Any]:
        api: Any = self.api
        return dict(api.inspect_image(name))

    def _tell(self, name: str, node: str = "", status: str = "running") -> None:
        self.emit(Step(phase=self.phase, node=node, name=name, status=status))
