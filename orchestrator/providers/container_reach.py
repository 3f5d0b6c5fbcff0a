"""Waiting until a container node lets the lab in by SSH, and telling why it does not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator import proc
from orchestrator.errors import Interrupted, ProviderError
from orchestrator.model import Node, NodePlan, Plan
from orchestrator.paths import LabDir
from orchestrator.providers import container_spec as spec
from orchestrator.providers import ssh_access

if TYPE_CHECKING:
    from docker import APIClient

JOURNAL = ["journalctl", "-b", "-n", "5", "--no-pager", "-o", "cat"]


def reported(planned: NodePlan, containers: Iterable[Mapping[str, Any]]) -> Node:
    """A node as Docker's list of the lab's containers has it; its host key stands in a label since it was made."""
    found = next((item for item in containers if item["Labels"].get(spec.NODE) == planned.name), None)
    if found is None:
        return Node(planned.name, "missing", ssh_port=planned.ssh_port)
    if found["State"] == "running":
        key = found["Labels"].get(spec.HOST_KEY, "")
        return Node(planned.name, "running", ssh_port=planned.ssh_port, host_keys=(key,) if key else ())
    state: Literal["stopped", "broken"] = "stopped" if found["State"] in ("exited", "paused") else "broken"
    return Node(planned.name, state, ssh_port=planned.ssh_port, detail=str(found["Status"]))


@dataclass(frozen=True)
class Waiting:
    """A wait for the nodes of one lab that ends at `deadline` (monotonic) or when `stop` is set."""

    api: APIClient
    plan: Plan
    lab: LabDir
    deadline: float
    stop: threading.Event

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
        found = self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, name))
        if not any(container["State"] == "running" for container in found):
            status = found[0]["Status"] if found else "it is gone"
            raise self._unreachable(name, f"its container does not run: {status}")
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
