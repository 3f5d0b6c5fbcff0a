"""Waiting for a container node: its SSH host key through Docker's API, then a login with the lab's key."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import proc
from orchestrator.errors import Interrupted, ProviderError
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir
from orchestrator.providers import container_spec as spec
from orchestrator.providers import ssh_access

if TYPE_CHECKING:
    from docker import APIClient

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
JOURNAL = ["journalctl", "-b", "-n", "5", "--no-pager", "-o", "cat"]


def host_keys(api: APIClient, container: str) -> tuple[str, ...]:
    """The node's public host keys, read through Docker's API; none while it has not made them yet."""
    from docker.errors import NotFound

    try:
        stream, _ = api.get_archive(container, HOST_KEY)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            words = file.read().decode("ascii").split() if file else []
    except NotFound:
        return ()
    return (" ".join(words[:2]),) if len(words) >= 2 else ()


@dataclass(frozen=True)
class Waiting:
    """A wait for the nodes of one lab that ends at `deadline` (monotonic) or when `stop` is set."""

    api: APIClient
    plan: Plan
    lab: LabDir
    deadline: float
    stop: threading.Event

    def for_host_key(self, name: str, report: Callable[[], Node]) -> Node:
        """The node as reported once it runs and has a host key. Raises ProviderError when it never does."""
        while True:
            node = report()
            if node.state == "running" and node.host_keys:
                return node
            if node.state != "running":
                raise self._unreachable(name, f"it is {node.state}: {node.detail}")
            self._pause(name, "it made no SSH host key")

    def for_login(self, node: Node) -> None:
        """Return when the node lets the lab's key in; a node that has lost the key is given it once more."""
        argv = ssh_access.ssh_argv(self.lab, node, command=["true"], shared=False)
        given = False
        while not (result := proc.run(argv, check=False, timeout=20)).ok:
            if "Permission denied" in result.stderr and not given:
                given = True
                self._give_key(node.name)
            self._pause(node.name, result.tail)

    def _give_key(self, name: str) -> None:
        keys = spec.authorized_keys(ssh_access.ensure_key(self.lab))
        for container in self.api.containers(filters=spec.of_node(self.plan.uuid, name)):
            self.api.put_archive(container["Id"], "/", keys)

    def _pause(self, name: str, cause: str) -> None:
        if time.monotonic() > self.deadline:
            raise self._unreachable(name, cause)
        if self.stop.wait(0.05):
            raise Interrupted("interrupted", fix="labctl provision")

    def _unreachable(self, name: str, cause: str) -> ProviderError:
        last = ""
        with contextlib.suppress(Exception):  # the lines are a help, their lack no second failure
            for container in self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, name)):
                if container["State"] == "running":
                    run = self.api.exec_create(container["Id"], JOURNAL)
                    last = self.api.exec_start(run["Id"]).decode(errors="replace").strip()
                else:
                    last = self.api.logs(container["Id"], tail=5).decode(errors="replace").strip()
        text = f"{name} does not answer on SSH: {cause or 'no answer'}"
        return ProviderError(f"{text}\n{last}" if last else text, fix="labctl provision")
