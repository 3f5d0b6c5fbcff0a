"""`labctl verify`: the roles' checks on every node and the cluster's checks, as one report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator import inventory as inventories
from orchestrator.events import Emit, Note, phase
from orchestrator.lab import node_status as glance
from orchestrator.lab.inventory import seen
from orchestrator.lab.kubectl import api_server_url
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.state import Lab
from orchestrator.model import Capabilities, Node
from orchestrator.providers import ssh_access
from orchestrator.verify import ClusterTarget, Report, Target, ids_by_file, run_checks
from orchestrator.verify.job import HostTarget

DEADLINE = 180.0
SETTLE_SECONDS = 120.0
# How many times longer an emulated processor may take; it needs 17 to 20 times as long for the same computation.
EMULATED = 6.0


def verify_lab(lab: Lab, *, emit: Emit, only: Sequence[str] = (), direct: bool = False, settle: float = 0.0) -> Report:
    """Run the checks and return the report. `settle` seconds are granted to what is still starting."""
    nodes = {node.name: node for node in reported_nodes(lab)}
    document, capabilities = seen(lab)
    patience = _patience(capabilities)
    targets = [_target(lab, name.name, nodes.get(name.name), document) for name in lab.plan.nodes]
    with phase(emit, "verify", "Prove the lab"):
        report = run_checks(
            lab.plan.name,
            targets,
            _cluster(lab, settle * patience, patience),
            only=only,
            direct=direct,
            emit=emit,
            phase="verify",
            deadline=(DEADLINE + settle) * patience,
            host=_host(lab, nodes.get(lab.plan.control_plane.name)),
            patience=patience,
        )
    if not only:
        glance.remember(lab.directory, report)
    return report


def check_only(lab: Lab, ids: Sequence[str], own: Sequence[Path], variables: Mapping[str, Any]) -> Report:
    """Run the checks with these ids and nothing else; `own` are files with more checks than labctl's.

    Each node's checks see `variables` beside those of the inventory.
    """
    nodes = {node.name: node for node in reported_nodes(lab)}
    document, capabilities = seen(lab)
    patience = _patience(capabilities)
    targets = [_target(lab, planned.name, nodes.get(planned.name), document) for planned in lab.plan.nodes]
    files = [path for path, held in ids_by_file().items() if held & set(ids)]
    return run_checks(
        lab.plan.name,
        [replace(target, variables={**target.variables, **variables}) for target in targets],
        _cluster(lab, 0, patience),
        only=ids,
        deadline=DEADLINE * patience,
        files=[*files, *own],
        patience=patience,
    )


def prove(lab: Lab, emit: Emit) -> Report:
    """The report of a lab that was just built or booted: one that is not ok is looked at again for a while.

    The API server remembers pods as ready from before a pause, so that nothing can be waited for but the proof.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    report = verify_lab(lab, emit=emit, settle=SETTLE_SECONDS)
    while not report.ok and time.monotonic() < deadline:
        emit(Note(phase="verify", text="something may still be starting: looking again"))
        report = verify_lab(lab, emit=emit, settle=SETTLE_SECONDS)
    return report


def _target(lab: Lab, name: str, node: Node | None, document: dict[str, Any]) -> Target:
    if node is None or node.state != "running":
        state = node.state if node else "missing"
        detail = f": {node.detail}" if node and node.detail else ""
        return Target(name, (), {"inventory_hostname": name}, unreachable=f"the machine is {state}{detail}")
    return Target(name, tuple(ssh_access.ssh_argv(lab.directory, node)), inventories.variables_of(document, name))


def _host(lab: Lab, control_plane: Node | None) -> HostTarget:
    plan, directory = lab.plan, lab.directory
    return HostTarget(
        provider=plan.provider,
        # Somebody else's machines are on somebody else's network.
        gateway="" if plan.provider == "static" else plan.network.gateway,
        server=api_server_url(plan, control_plane) if plan.kubernetes and control_plane else "",
        kubeconfig=str(directory.kubeconfig),
        newest=max((path.stat().st_mtime for path in directory.root.glob("*.json*")), default=0.0),
    )


def _patience(capabilities: Capabilities) -> float:
    return EMULATED if capabilities.emulated else 1.0


def _cluster(lab: Lab, settle: float, patience: float) -> ClusterTarget | None:
    plan = lab.plan
    if plan.kubernetes is None:
        return None
    return ClusterTarget(
        control_plane=plan.control_plane.name,
        version=plan.kubernetes.version,
        nodes={node.name: node.address for node in plan.nodes},
        cni=plan.kubernetes.cni,
        dns=plan.kubernetes.dns,
        dns_domain=plan.network.dns_domain,
        dns_address=plan.network.dns_address,
        service_cidr=plan.network.service_cidr,
        pod_cidr=plan.network.pod_cidr,
        settle=settle,
        patience=patience,
    )
