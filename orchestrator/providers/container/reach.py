"""Waiting until a container node lets the lab in by SSH, and telling why it does not."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.errors import Interrupted, ProviderError
from orchestrator.events import Emit, Note
from orchestrator.model import Node, NodePlan, Plan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.container import engine
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container.docker_calls import execute

if TYPE_CHECKING:
    from docker import APIClient

JOURNAL = ["journalctl", "-b", "-n", "5", "--no-pager", "-o", "cat"]
# Succeeds when the boot is over and SSH does not listen: it was stopped, and is started again.
RESTART_SSH = ["sh", "-c", '[ -z "$(systemctl list-jobs --no-legend)" ] && systemctl restart ssh']
# A machine that boots refuses connections too; this many seconds of it are no reason to look inside.
BOOT_SECONDS = 3.0
LOGIN_SECONDS = 20.0


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
    emit: Emit
    phase: str

    def for_login(self, node: Node) -> None:
        """Return when the node lets the lab's key in.

        A node that has lost the key is given it, and one whose container ended is started, once each: a
        systemd that gives up in its first second on a busy host comes up the second time. One whose SSH server was
        stopped has it started again. A node that shows another host key than its own is refused at once.
        """
        has_key = was_started = ssh_restarted = False
        began = time.monotonic()
        while (cause := ssh_access.login_failure(self.lab, node, LOGIN_SECONDS)) is not None:
            if ssh_access.is_host_key_mismatch(cause):
                raise self._host_key_mismatch(node)
            if "Permission denied" in cause and not has_key:
                has_key = True
                self._give_key(node.name)
            elif (ended := self._ended(node.name)) is not None:
                if was_started:
                    raise self._unreachable(node.name, f"its container ended: {ended['Status']}")
                was_started = True
                self.emit(Note(phase=self.phase, node=node.name, text=f"{ended['Status']}: starting it once more"))
                self.api.start(ended["Id"])
            elif not ssh_restarted and time.monotonic() - began > BOOT_SECONDS:
                ssh_restarted = self._restart_ssh(node.name)
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

    def _restart_ssh(self, name: str) -> bool:
        """Start the SSH server of a node that has booted without it, or lost it since; whether that was so."""
        for container in self.api.containers(filters=spec.of_node(self.plan.uuid, name)):
            if execute(self.api, container["Id"], RESTART_SSH)[0]:
                self.emit(Note(phase=self.phase, node=name, text="its SSH server did not answer: started it again"))
                return True
        return False

    def _host_key_mismatch(self, node: Node) -> ProviderError:
        name = spec.container_name(self.plan, node.name)
        return ProviderError(
            f"{node.name} shows another SSH host key than the one it was made with: somebody changed the key, or "
            f"another machine answers on port {node.ssh_port}. Nothing was sent to it",
            fix=f"{engine.docker_command()} rm --force --volumes {name}   (labctl provision then recreates the node)",
        )

    def _unreachable(self, name: str, cause: str) -> ProviderError:
        last = ""
        with contextlib.suppress(Exception):  # the lines are a help, their lack no second failure
            for container in self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, name)):
                if container["State"] == "running":
                    last = execute(self.api, container["Id"], JOURNAL)[1]
                else:
                    last = self.api.logs(container["Id"], tail=5).decode(errors="replace").strip()
        text = f"{name} does not answer on SSH: {cause.splitlines()[-1]}"
        return ProviderError(f"{text}\n{last}" if last else text, fix="labctl provision")
