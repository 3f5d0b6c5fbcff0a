"""Verification of a lab: the roles' checks on every node and the cluster's checks, as one report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator import inventory as inventories
from orchestrator.checks.model import Report
from orchestrator.events import Emit, Note, phase
from orchestrator.lab.inventory import inventory_document
from orchestrator.lab.kubectl import api_server_url
from orchestrator.lab.node_status import save_last_verify
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.pod_network import found_missing, notice
from orchestrator.providers import ssh_access
from orchestrator.verify import ClusterTarget, HostTarget, Target, ids_by_file, run_checks

DEADLINE = 180.0
SETTLE_SECONDS = 120.0
# How many times longer an emulated processor may take; it needs 17 to 20 times as long for the same computation.
EMULATED = 6.0


def verify_lab(
    observed: ObservedLab, *, emit: Emit, only: Sequence[str] = (), direct: bool = False, settle: float = 0.0
) -> Report:
    """Run the checks and return the report. `settle` seconds are granted to what is still starting."""
    factor = _timeout_factor(observed)
    with phase(emit, "verify", "Verify"):
        report = run_checks(
            observed.lab.plan.name,
            targets(observed),
            _cluster(observed, settle),
            only=only,
            direct=direct,
            emit=emit,
            phase="verify",
            deadline=(DEADLINE + settle) * factor,
            host=_host(observed),
            timeout_factor=factor,
        )
    if not only:
        save_last_verify(observed.lab.directory, report)
    return replace(report, notes=notice(observed.lab.plan)) if found_missing(report) else report


def run_selected_checks(observed: ObservedLab, ids: Sequence[str]) -> Report:
    """Run the checks with these ids and return the report."""
    factor = _timeout_factor(observed)
    return run_checks(
        observed.lab.plan.name,
        targets(observed),
        _cluster(observed, 0),
        only=ids,
        deadline=DEADLINE * factor,
        files=[path for path, held in ids_by_file().items() if held & set(ids)],
        timeout_factor=factor,
    )


def wait_until_healthy(observed: ObservedLab, emit: Emit) -> Report:
    """The report of a lab that was just built or booted; checks that fail are repeated for a while.

    The API server remembers pods as ready from before a pause, so that nothing less than the checks can be waited for.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    report = verify_lab(observed, emit=emit, settle=SETTLE_SECONDS)
    while not report.ok and time.monotonic() < deadline:
        emit(Note(phase="verify", text="something may still be starting: verifying again"))
        report = verify_lab(observed, emit=emit, settle=SETTLE_SECONDS)
    return report


def left_to_roles(report: Report) -> str:
    """The first thing that a run of the roles may mend, in one line: a failed check, or a warning that names them."""
    for result in report.results:
        if result.bad or (result.status == "warning" and result.remedy == "labctl provision"):
            return f"{result.id} on {result.node or 'the cluster'}: {result.headline}"
    return ""


def targets(observed: ObservedLab) -> list[Target]:
    """The nodes of the plan as the checks address them, those that do not run as unreachable."""
    document = inventory_document(observed)
    return [_target(observed, node.name, document) for node in observed.lab.plan.nodes]


def _target(observed: ObservedLab, name: str, document: dict[str, Any]) -> Target:
    node = observed.node(name)
    if node.state != "running":
        detail = f": {node.detail}" if node.detail else ""
        return Target(name, (), {"inventory_hostname": name}, unreachable=f"the machine is {node.state}{detail}")
    argv = ssh_access.ssh_argv(observed.lab.directory, node)
    return Target(name, tuple(argv), inventories.variables_of(document, name))


def _host(observed: ObservedLab) -> HostTarget:
    plan, directory = observed.lab.plan, observed.lab.directory
    return HostTarget(
        # Somebody else's machines are on somebody else's network.
        gateway="" if plan.static_hosts else plan.network.gateway,
        server=api_server_url(plan, observed.node(plan.control_plane.name)) if plan.kubernetes else "",
        kubeconfig=str(directory.kubeconfig),
        newest=max((path.stat().st_mtime for path in directory.root.glob("*.json*")), default=0.0),
    )


def _timeout_factor(observed: ObservedLab) -> float:
    return EMULATED if observed.capabilities.emulated else 1.0


def _cluster(observed: ObservedLab, settle: float) -> ClusterTarget | None:
    plan = observed.lab.plan
    if plan.kubernetes is None:
        return None
    return ClusterTarget(
        control_plane=plan.control_plane.name,
        version=plan.kubernetes.version,
        nodes={node.name: node.address for node in plan.nodes},
        cni=plan.kubernetes.cni,
        dns_domain=plan.network.dns_domain,
        dns_address=plan.network.dns_address,
        pod_cidr=plan.network.pod_cidr,
        dns=plan.kubernetes.dns,
        network_policy=bool(plan.kubernetes.network_policy_image),
        cgroup_driver=plan.kubernetes.cgroup_driver,
        allow_cgroup_v1=plan.kubernetes.allow_cgroup_v1,
        settle=settle * _timeout_factor(observed),
        timeout_factor=_timeout_factor(observed),
    )
