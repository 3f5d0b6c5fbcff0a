"""Waiting until a container node lets the lab in by SSH, and telling why it does not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator import proc
from orchestrator.errors import Interrupted, ProviderError
from orchestrator.events import Emit, Note
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


def _attempt(argv: Sequence[str]) -> str | None:
    """Try to log in once; None when it worked, else what ssh said."""
    try:
        result = proc.run(argv, check=False, timeout=20)
    except proc.ProcessFailed as problem:
        return str(problem)
    return None if result.ok else result.stderr.strip() or "no answer"


@dataclass(frozen=True)
class Waiting:
    """A wait for the nodes of one lab that ends at `deadline` (monotonic) or when `stop` is set."""

    api: APIClient
    plan: Plan
    lab: LabDir
    deadline: float
    stop: threading.Event
    emit: Emit
    phase: str

    def for_login(self, node: Node) -> None:
        """Return when the node lets the lab's key in.

        A node that has lost the key is given it, and one whose container ended is started, once each: a
        systemd that gives up in its first second on a busy host comes up the second time.
        """
        argv = ssh_access.ssh_argv(self.lab, node, command=["true"], shared=False)
        given = started = False
        while (cause := _attempt(argv)) is not None:
            if "Permission denied" in cause and not given:
                given = True
                self._give_key(node.name)
            elif (ended := self._ended(node.name)) is not None:
                if started:
                    raise self._unreachable(node.name, f"its container ended: {ended['Status']}")
                started = True
                self.emit(Note(phase=self.phase, node=node.name, text=f"{ended['Status']}: starting it once more"))
                self.api.start(ended["Id"])
            if time.monotonic() > self.deadline:
                raise self._unreachable(node.name, cause)
            if self.stop.wait(0.05):
                raise Interrupted("interrupted", fix="labctl provision")

    def _ended(self, name: str) -> dict[str, Any] | None:
        """Docker's record of the node's container when it does not run. Raises ProviderError when it is gone."""
        found = self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, name))
        if not found:
            raise self._unreachable(name, "its container is gone")
        return None if found[0]["State"] == "running" else dict(found[0])

    def _give_key(self, name: str) -> None:
        keys = spec.authorized_keys(ssh_access.ensure_key(self.lab))
        for container in self.api.containers(filters=spec.of_node(self.plan.uuid, name)):
            self.api.put_archive(container["Id"], "/", keys)

    def _unreachable(self, name: str, cause: str) -> ProviderError:
        last = ""
        with contextlib.suppress(Exception):  # the lines are a help, their lack no second failure
            for container in self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, name)):
                if container["State"] == "running":
                    run = self.api.exec_create(container["Id"], JOURNAL)
                    last = self.api.exec_start(run["Id"]).decode(errors="replace").strip()
                else:
                    last = self.api.logs(container["Id"], tail=5).decode(errors="replace").strip()
        text = f"{name} does not answer on SSH: {cause.splitlines()[-1]}"
        return ProviderError(f"{text}\n{last}" if last else text, fix="labctl provision")
