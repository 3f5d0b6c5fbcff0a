"""`labctl status`: machines, nodes, versions, certificates, and what changed since the last verify, at a glance."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator import proc
from orchestrator.errors import LabError
from orchestrator.lab import journal
from orchestrator.lab import node_status as glance
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.node_status import Verified
from orchestrator.lab.pending import pending_operation
from orchestrator.lab.state import Lab

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
    node: str = ""
    version: str = ""


@dataclass(frozen=True)
class LabStatus:
    """The lab at a glance; `trouble` says why the cluster could not be asked.

    `certificate_days` are left to the certificate that ends first, `drift` is what changed on each node since
    `verified`, in words; `unfinished` is the command that has to come before any other.
    """

    name: str
    uuid: str
    provider: str
    kubernetes: str
    machines: tuple[MachineStatus, ...]
    trouble: str = ""
    certificate_days: float | None = None
    certificate: str = ""
    verified: Verified | None = None
    drift: dict[str, tuple[str, ...]] = field(default_factory=dict)
    last_run: journal.Run | None = None
    snapshots: tuple[str, ...] = ()
    unfinished: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The status as the one document `labctl/status/v1`."""
        return {"schema": "labctl/status/v1", **asdict(self)}

    def lines(self) -> list[str]:
        """What there is to say besides the table of machines, most urgent first."""
        said = [f"unfinished: {self.unfinished} was interrupted; type it again"] if self.unfinished else []
        said += [f"cluster: {self.trouble}"] if self.trouble else []
        if self.certificate_days is not None:
            said.append(f"certificates: {self.certificate_days:.0f} days left ({self.certificate})")
        if self.verified is None:
            return [*said, "verify: never; labctl verify", *self._history()]
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.verified.at))
        verdict = "ok" if self.verified.ok else f"failed ({', '.join(self.verified.failed) or 'not everything ran'})"
        said.append(f"verify: {verdict}, {when}")
        changes = [f"{node}: {change}" for node, found in self.drift.items() for change in found]
        if changes:
            said += [f"since then: {change}" for change in changes[:SHOWN]]
            said += [f"since then: {len(changes) - SHOWN} more changes"] if len(changes) > SHOWN else []
            return [*said, "is it still good? labctl verify", *self._history()]
        looked = any(machine.state == "running" for machine in self.machines)
        return [*said, *(["since then: nothing changed on the nodes"] if looked else []), *self._history()]

    def _history(self) -> list[str]:
        said = [f"snapshots: {', '.join(self.snapshots)}"] if self.snapshots else []
        if self.last_run:
            began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.last_run.began))
            said.append(f"last change: {self.last_run.verb}, {began}, {self.last_run.result}")
        return said


def status_of(lab: Lab) -> LabStatus:
    """Ask the provider and the API server; a cluster that does not answer within seconds is a finding, not an error."""
    there = reported_nodes(lab)
    reported = {node.name: node for node in there}
    nodes: dict[str, tuple[str, str]] = {}
    trouble = ""
    if lab.plan.kubernetes is not None:
        try:
            nodes = _cluster_nodes(lab)
        except LabError as problem:
            trouble = problem.message
    machines = []
    for planned in lab.plan.nodes:
        node = reported.get(planned.name)
        ready, version = nodes.get(planned.name, ("", ""))
        machines.append(
            MachineStatus(
                name=planned.name,
                role=planned.role.replace("_", " "),
                address=planned.address,
                state=node.state if node else "missing",
                ssh=f"{node.ssh_host}:{node.ssh_port}" if node else "",
                node=ready,
                version=version,
            )
        )
    kubernetes = lab.plan.kubernetes.version if lab.plan.kubernetes else ""
    verified = glance.last_verify(lab.directory)
    looks = glance.into(lab, there, verified.at if verified else 0)
    ends = glance.days_left(looks)
    half = pending_operation(lab.directory)
    return LabStatus(
        name=lab.plan.name,
        uuid=lab.plan.uuid,
        provider=lab.plan.provider,
        kubernetes=kubernetes,
        machines=tuple(machines),
        trouble=trouble,
        certificate_days=round(ends[0], 1) if ends else None,
        certificate=ends[1] if ends else "",
        verified=verified,
        drift={look.node: (*look.changes, *([look.trouble] if look.trouble else [])) for look in looks},
        last_run=journal.last_run(lab.directory),
        snapshots=tuple(sorted(path.stem for path in (lab.directory.root / "snapshots").glob("*.json"))),
        unfinished=half.command if half else "",
    )


def _cluster_nodes(lab: Lab) -> dict[str, tuple[str, str]]:
    argv = [*kubectl_argv(lab), "--request-timeout=5s", "get", "nodes", "-o", "json"]
    try:
        answer = proc.run(argv, timeout=15, env={"KUBECONFIG": str(kubeconfig_path(lab))})
    except proc.ProcessFailed as problem:
        raise LabError(f"the API server does not answer: {problem.result.tail}", fix="labctl verify") from None
    found = {}
    for item in json.loads(answer.stdout)["items"]:
        ready = next((c["status"] for c in item["status"]["conditions"] if c["type"] == "Ready"), "Unknown")
        state = "Ready" if ready == "True" else "NotReady"
        if item["spec"].get("unschedulable"):
            state += ",SchedulingDisabled"
        found[item["metadata"]["name"]] = (state, item["status"]["nodeInfo"]["kubeletVersion"])
    return found
