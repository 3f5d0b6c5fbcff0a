"""`labctl status`: machines as the provider has them, nodes as the cluster has them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator import proc
from orchestrator.errors import LabError
from orchestrator.workflows import access
from orchestrator.workflows.lab import Lab


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
    """The lab at a glance; `trouble` says why the cluster could not be asked."""

    name: str
    uuid: str
    provider: str
    kubernetes: str
    machines: tuple[MachineStatus, ...]
    trouble: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The status as the one document `labctl/status/v1`."""
        return {"schema": "labctl/status/v1", **asdict(self)}


def status_of(lab: Lab) -> LabStatus:
    """Ask the provider and the API server; a cluster that does not answer within seconds is a finding, not an error."""
    reported = {node.name: node for node in access.reported(lab)}
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
    return LabStatus(lab.plan.name, lab.plan.uuid, lab.plan.provider, kubernetes, tuple(machines), trouble)


def _cluster_nodes(lab: Lab) -> dict[str, tuple[str, str]]:
    argv = [*access.kubectl_argv(lab), "--request-timeout=5s", "get", "nodes", "-o", "json"]
    try:
        answer = proc.run(argv, timeout=15, env={"KUBECONFIG": str(access.kubeconfig_path(lab))})
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
