"""`labctl status`: machines, nodes, versions, certificates, and what changed since the last verify."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import LabError
from orchestrator.host_access import Forward, Mount
from orchestrator.lab.attached import load_attached
from orchestrator.lab.journal import Run, last_run
from orchestrator.lab.kubectl import read_objects
from orchestrator.lab.node_status import LastVerify, first_expiry, last_verify, node_statuses
from orchestrator.lab.observed_lab import ObservedLab, observe_lab
from orchestrator.lab.pending import pending_operation
from orchestrator.lab.pod_network import is_left_to_user, notice
from orchestrator.lab.result import Result
from orchestrator.lab.snapshots import list_snapshots
from orchestrator.lab.state import Lab
from orchestrator.model import NodePlan
from orchestrator.verify.conditions import none_installed, ready

# Changes that are shown one by one.
SHOWN = 8


@dataclass(frozen=True)
class MachineStatus:
    """One machine: its state with the provider, its node's readiness and kubelet version (empty when unknown)."""

    name: str
    role: str
    address: str
    state: str
    ssh: str
    node: str
    version: str


@dataclass(frozen=True)
class StatusResult(Result):
    """The state of a lab; `trouble` says why the cluster did not answer, `pod_network` what it means to have none yet.

    `certificate_days` are left to the certificate that expires first, `drift` is what changed on each node since
    `verified`, `unfinished` is the command that has to come before any other. `root_login` is the plan's, `attached`
    the second bundle.
    """

    name: str
    uuid: str
    provider: str
    kubernetes: str
    machines: tuple[MachineStatus, ...]
    trouble: str
    pod_network: str
    certificate_days: float | None
    certificate: str
    verified: LastVerify | None
    drift: dict[str, tuple[str, ...]]
    last_run: Run | None
    snapshots: tuple[str, ...]
    unfinished: str
    mounts: tuple[Mount, ...]
    forwards: tuple[Forward, ...]
    root_login: str
    attached: str = ""
    schema = "labctl/status/v1"

    def lines(self) -> list[str]:
        """Everything but the table of machines in lines, most urgent first."""
        lines = [f"unfinished: {self.unfinished} was interrupted; run it again"] if self.unfinished else []
        lines += [f"cluster: {text}" for text in (self.trouble, self.pod_network) if text]
        if self.certificate_days is not None:
            lines.append(f"certificates: {self.certificate_days:.0f} days left ({self.certificate})")
        lines += [f"mount: {mount}" for mount in self.mounts]
        lines += [f"port: {forward}" for forward in self.forwards]
        lines += self._verify_lines()
        lines += [f"snapshots: {', '.join(self.snapshots)}"] if self.snapshots else []
        if self.root_login == "password":
            lines.append("login: root, by the lab's key; from one node to another by the password in lab.yml")
        lines += [f"second bundle: {self.attached} (labctl bundle detach)"] if self.attached else []
        if self.last_run:
            lines.append(f"last change: {self.last_run.verb}, {_local(self.last_run.began)}, {self.last_run.result}")
        return lines

    def _verify_lines(self) -> list[str]:
        if self.verified is None:
            return ["verify: never; labctl verify"]
        verdict = "ok" if self.verified.ok else f"failed ({', '.join(self.verified.failed) or 'not everything ran'})"
        lines = [f"verify: {verdict}, {_local(self.verified.at)}"]
        changes = [f"since then: {node}: {change}" for node, ones in self.drift.items() for change in ones]
        if changes:
            lines += changes[:SHOWN]
            lines += [f"since then: {len(changes) - SHOWN} more changes"] if len(changes) > SHOWN else []
            return [*lines, "verify again: labctl verify"]
        running = any(machine.state == "running" for machine in self.machines)
        return [*lines, *(["since then: nothing changed on the nodes"] if running else [])]


def status(lab: Lab) -> StatusResult:
    """The state of the lab; a cluster that does not answer within seconds is part of it, not an error."""
    verified = last_verify(lab.directory)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_cluster_nodes, lab)
        observed = observe_lab(lab)
        nodes = node_statuses(observed, verified.at if verified else 0)
        items, trouble = answer.result()
    cluster = {item["metadata"]["name"]: _state_and_version(item) for item in items}
    expiry = first_expiry(nodes)
    pending, attached = pending_operation(lab.directory), load_attached(lab.directory)
    return StatusResult(
        name=lab.plan.name,
        uuid=lab.plan.uuid,
        provider=lab.plan.provider,
        kubernetes=lab.plan.kubernetes.version if lab.plan.kubernetes else "",
        machines=tuple(_machine(observed, node, *cluster.get(node.name, ("", ""))) for node in lab.plan.nodes),
        trouble=trouble,
        pod_network=_missing_network(lab, items),
        certificate_days=round(expiry[0], 1) if expiry else None,
        certificate=expiry[1] if expiry else "",
        verified=verified,
        drift={node.node: (*node.changes, *([node.trouble] if node.trouble else [])) for node in nodes},
        last_run=last_run(lab.directory),
        snapshots=tuple(sorted(snapshot.name for snapshot in list_snapshots(lab.directory))),
        unfinished=pending.command if pending else "",
        mounts=lab.plan.mounts,
        forwards=lab.plan.forwards,
        root_login=lab.plan.root_login,
        attached=attached.bundle if attached else "",
    )


def _machine(observed: ObservedLab, planned: NodePlan, ready: str, version: str) -> MachineStatus:
    node = observed.node(planned.name)
    role = planned.role.replace("_", " ")
    ssh = f"{node.ssh_host}:{node.ssh_port}"
    return MachineStatus(planned.name, role, planned.address, node.state, ssh, ready, version)


def _cluster_nodes(lab: Lab) -> tuple[list[dict[str, Any]], str]:
    """The nodes as the cluster describes them, or why it does not answer."""
    if lab.plan.kubernetes is None:
        return [], ""
    try:
        return read_objects(lab, "nodes")
    except LabError as problem:
        return [], problem.message


def _state_and_version(item: Mapping[str, Any]) -> tuple[str, str]:
    """A node's readiness, and the version of its kubelet."""
    state = "Ready" if ready(item) else "NotReady"
    if item["spec"].get("unschedulable"):
        state += ",SchedulingDisabled"
    return state, item["status"]["nodeInfo"]["kubeletVersion"]


def _missing_network(lab: Lab, items: Sequence[Mapping[str, Any]]) -> str:
    """What it means that the nodes wait for a pod network which the lab leaves to its user; empty when they do not."""
    return "; ".join(notice(lab.plan)) if is_left_to_user(lab.plan) and none_installed(items) else ""


def _local(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
