"""Brings a lab to its plan: machines, roles, kubeconfig, verification."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.checks.model import Report
from orchestrator.errors import ConvergeError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab import converged, journal
from orchestrator.lab.baking import BARE, Origin, ensure_baked, sweep
from orchestrator.lab.host_setup import (
    Agree,
    agree_to_start,
    decline,
    install_missing_packages,
    offer_kubectl,
    refuse_problems,
)
from orchestrator.lab.kubeconfigs import refresh
from orchestrator.lab.kubectl import fetch_kubeconfig, install_kubectl
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.observed_lab import ObservedLab, observe_with, require_running
from orchestrator.lab.package_source import (
    UNCONFIRMED,
    Confirmation,
    ensure_registry,
    ensure_source,
    known_sums,
    serve_source,
)
from orchestrator.lab.phases import ALL_PHASES, PhaseRange, playbook
from orchestrator.lab.planning import decide_and_claim, refuse_fewer, refuse_orphans
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.pod_network import phrase
from orchestrator.lab.root_password import keep_root_password
from orchestrator.lab.state import Lab, save_plan, save_source_access
from orchestrator.lab.verification import SETTLE_SECONDS, left_to_roles, verify_lab, wait_until_healthy
from orchestrator.model import Plan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.base import Provider
from orchestrator.spec import Spec

# A generous bound: what takes longer on a slow machine is stuck, not slow.
CONVERGE_DEADLINE = 1800.0
# Pods that the checks wait for, so that the roles need not.
_LEFT_TO_VERIFY = {"cluster_dns_wait": False, "network_policy_wait": False}


@dataclass(frozen=True)
class ConvergeResult:
    """What a verb that converges a lab did: tasks changed per node, the report of the checks, all in `seconds`.

    There is no report when the run was to stop before `verify`. `details` are further keys of the document.
    """

    schema: str
    lab: Lab
    changed: Mapping[str, int]
    report: Report | None
    seconds: float
    phases: PhaseRange = ALL_PHASES
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return self.report is None or self.report.ok

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON-ready data."""
        return {
            "lab": self.lab.plan.name,
            "uuid": self.lab.plan.uuid,
            "directory": str(self.lab.directory.root),
            "seconds": round(self.seconds, 1),
            "changed": dict(self.changed),
            "phases": list(self.phases.names),
            "verify": self.report.as_dict() if self.report else None,
            **self.details,
        }


@dataclass(frozen=True)
class Shortcuts:
    """What a run may save: cloning baked nodes, and running no role on a lab whose checks pass."""

    bake: bool = True
    unchanged: bool = True


ALL_SHORTCUTS = Shortcuts()


def build_lab(
    spec: Spec,
    directory: LabDir,
    *,
    agree: Agree,
    emit: Emit,
    phases: PhaseRange = ALL_PHASES,
    sums: Confirmation = UNCONFIRMED,
    shortcuts: Shortcuts = ALL_SHORTCUTS,
) -> ConvergeResult:
    """Create or repair the lab for a caller that holds its lock and keeps its journal; `phases` is the part to do.

    `sums` is what the user confirms of what is fetched. Raises SpecError, HostError, ProviderError, ConvergeError; a
    lab that fails its checks is a result that is not ok.
    """
    began = time.monotonic()
    with phase(emit, "plan", "Plan"):
        install_missing_packages(spec, agree, emit)
        plan = decide_and_claim(spec, directory)
        refuse_fewer(plan, directory)
        emit(Note(phase="plan", text=_summary(plan)))
        if not directory.plan.exists():
            agree_to_start(plan, agree)
    with open_provider(plan.provider, emit) as provider:
        with phase(emit, "preflight", "Check the host"):
            sweep(provider, emit)
            refuse_orphans(plan, directory, provider.find_labs())
            refuse_problems(provider.preflight(plan))
            save_plan(directory, plan)
            keep_root_password(
                directory, secret.get_secret_value() if (secret := spec.lab.book.root_password) else None
            )
        journal.record_inputs(directory, "plan", _inputs(plan))
        lab = Lab(directory, plan)
        if phases == ALL_PHASES and shortcuts.unchanged and (report := _still_healthy(provider, lab, emit)):
            nothing = {node.name: 0 for node in plan.nodes}
            return ConvergeResult("", lab, nothing, report, time.monotonic() - began, phases)
        if phases.playbooks:
            ensure_source(plan, emit, known_sums(spec, sums))
            ensure_registry(plan, emit, may_build=spec.lab.packages.source != "bundle")
        observed, origin = _machines(provider, lab, emit, phases, bake=shortcuts.bake)
        changed, report = _converge_and_verify(observed, emit, agree, phases, origin)
        journal.record_result(directory, "converge", {"changed": changed, "baked": origin.key})
        if report:
            result = {"ok": report.ok, "failed": report.count("failed", "error")}
            journal.record_result(directory, "verify", result)
    return ConvergeResult("", lab, changed, report, time.monotonic() - began, phases)


def _still_healthy(provider: Provider, lab: Lab, emit: Emit) -> Report | None:
    """The report of a lab for which the roles have nothing to do; None when they have, or may have.

    What they would read is as it was when they last ran, and every check of what they wrote passes.
    """
    observed = observe_with(provider, lab)
    if len(observed.running) < len(lab.plan.nodes) or not converged.is_unchanged(observed):
        return None
    with phase(emit, "create", f"Check {len(lab.plan.nodes)} machines", steps=len(lab.plan.nodes)):
        provider.create(lab.plan, lab.directory, emit, "create")
    report = verify_lab(observed, emit=emit)
    if why := left_to_roles(report):
        emit(Note(phase="verify", text=f"running the roles: {why}"))
        return None
    return report


def _machines(
    provider: Provider, lab: Lab, emit: Emit, phases: PhaseRange, *, bake: bool
) -> tuple[ObservedLab, Origin]:
    """The machines of the lab, all of them running, and what the new ones among them were cloned from."""
    plan, origin = lab.plan, BARE
    if "machines" not in phases.names:
        observed = observe_with(provider, lab)
        require_running(observed.nodes, "without the phase machines they have to run already", "labctl provision")
        return observed, origin
    missing = [node.state == "missing" for node in provider.nodes(plan)]
    if bake and any(missing) and "runtime" in phases.names:
        origin = ensure_baked(plan, provider, emit, fresh=all(missing))
    with phase(emit, "create", f"Create {len(plan.nodes)} machines", steps=len(plan.nodes)):
        nodes = provider.create(plan, lab.directory, emit, "create", origin.key)
    return observe_with(provider, lab, nodes), origin


def _converge_and_verify(
    observed: ObservedLab, emit: Emit, agree: Agree, phases: PhaseRange, origin: Origin
) -> tuple[Mapping[str, int], Report | None]:
    """The changed tasks per node, and the report; clones that are not as they should be get every role."""
    try:
        changed = converge(observed, emit, phases, origin)
        if "kubeconfig" in phases.names:
            install_kubeconfig(observed, emit, agree)
        if "verify" not in phases.names:
            return changed, None
        if not origin.skipped:
            return changed, wait_until_healthy(observed, emit)
        report = verify_lab(observed, emit=emit, settle=SETTLE_SECONDS)
        if not (why := left_to_roles(report)):
            return changed, report
    except ConvergeError as problem:
        if not origin.skipped:
            raise
        why = problem.message
    emit(
        Note(phase="converge", text=f"the clones are not as they should be, running every role: {why.splitlines()[0]}")
    )
    return _converge_and_verify(observed, emit, agree, phases, BARE)


def converge(
    observed: ObservedLab, emit: Emit, phases: PhaseRange = ALL_PHASES, origin: Origin = BARE
) -> Mapping[str, int]:
    """Apply the roles while the package source is served to the nodes; the changed tasks per node.

    Machines that are fresh clones of a baked node are spared what it has.
    """
    plan, directory = observed.lab.plan, observed.lab.directory
    if not phases.playbooks:
        return {node.name: 0 for node in observed.nodes}
    converged.forget(directory)
    with serve_source(plan, directory, emit) as access:
        save_source_access(directory, access)
        ssh_access.ensure_node_key(directory)
        site = playbook(phases, directory)
        done = run_playbook(
            observed,
            site,
            emit=emit,
            deadline=CONVERGE_DEADLINE,
            skipped=origin.skipped,
            extra_vars=_LEFT_TO_VERIFY if "verify" in phases.names else {},
        )
    if phases == ALL_PHASES:
        converged.remember(observed)
    return done.changed


def install_kubeconfig(observed: ObservedLab, emit: Emit, agree: Agree = decline) -> None:
    """Bring the cluster's kubeconfig to the host, and kubectl with it; nothing for a lab without Kubernetes."""
    plan, directory = observed.lab.plan, observed.lab.directory
    if plan.kubernetes is None:
        return
    with phase(emit, "kubeconfig", "Install kubeconfig and kubectl"):
        fetch_kubeconfig(plan, directory, observed.nodes)
        install_kubectl(plan, directory)
        refresh(observed.lab, emit, "kubeconfig")
        offer_kubectl(plan, agree, emit)


def _inputs(plan: Plan) -> dict[str, Any]:
    """What the phases after the plan work with, for the journal."""
    return {
        "plan": hashlib.sha256(plan.as_json().encode()).hexdigest(),
        "provider": plan.provider,
        "machines": [node.name for node in plan.nodes],
        "kubernetes": plan.kubernetes.version if plan.kubernetes else "",
        "source": plan.source.bundle_id,
    }


def _summary(plan: Plan) -> str:
    kubernetes = plan.kubernetes
    cluster = f"Kubernetes {kubernetes.version} {phrase(kubernetes)}" if kubernetes else "no Kubernetes"
    return (
        f"{plan.name}: {len(plan.nodes)} machines by {plan.provider}, {cluster}, packages from {plan.source.bundle_id}"
    )
