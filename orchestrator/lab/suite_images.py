"""The images of a conformance suite on the nodes of a lab."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from orchestrator import proc
from orchestrator.bundle import BundleInfo
from orchestrator.errors import HostError
from orchestrator.lab.node_commands import run_on_nodes
from orchestrator.lab.state import Lab
from orchestrator.model import Node, Runtime
from orchestrator.providers import ssh_access

_SECONDS = 900.0
_LIST: dict[Runtime, str] = {
    "containerd": "sudo ctr --namespace k8s.io images list --quiet",
    "docker": "sudo docker images --format '{{.Repository}}:{{.Tag}}'",
}
_LOAD: dict[Runtime, str] = {
    "containerd": "sudo ctr --namespace k8s.io images import -",
    "docker": "sudo docker load --quiet",
}


def load_images(lab: Lab, suite: BundleInfo, nodes: Iterable[Node]) -> tuple[str, ...]:
    """Load the images of a suite into every node that lacks one of them; the names of these nodes.

    Raises HostError naming the node that could not take them.
    """
    assert lab.plan.kubernetes is not None
    runtime = lab.plan.kubernetes.runtime
    listed = run_on_nodes(lab, "all", _LIST[runtime], timeout=60, nodes=tuple(nodes))
    lacking = {one.node for one in listed.nodes if missing_images(suite.images, one.stdout)}
    chosen = [node for node in nodes if node.name in lacking]

    def load(node: Node) -> None:
        argv = ssh_access.ssh_argv(lab.directory, node, command=shlex.split(_LOAD[runtime]))
        try:
            proc.run(argv, timeout=_SECONDS, stdin=suite.image_archive)
        except proc.ProcessFailed as problem:
            raise HostError(
                f"{node.name}: the images of {suite.id} could not be loaded: {problem.result.tail}",
                fix=f"labctl ssh {node.name} -- df -h /var/lib; then: labctl conformance",
            ) from None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, chosen))
    return tuple(node.name for node in chosen)


def missing_images(wanted: Iterable[str], listing: str) -> list[str]:
    """The images that a runtime's listing does not have; containerd lists `a/b:1` as `docker.io/a/b:1`."""
    present = {line.strip().removeprefix("docker.io/") for line in listing.splitlines()}
    return [name for name in wanted if name.removeprefix("docker.io/") not in present]
