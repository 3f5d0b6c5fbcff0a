"""`labctl provision`: observe, plan, preflight, create, converge, verify; run again, it converges."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import runner
from orchestrator.events import Emit, Note, phase
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir
from orchestrator.spec import Spec
from orchestrator.verify import Report
from orchestrator.workflows import access, calico, kubeconfigs, prepare, sources
from orchestrator.workflows import lab as labs
from orchestrator.workflows import plan as planning
from orchestrator.workflows.verify import prove

# Generous bounds: what takes longer than this on a slow machine is stuck, not slow.
CONVERGE_DEADLINE = 1800.0


@dataclass(frozen=True)
class Provisioned:
    """What a provision did: the plan, tasks changed per node, the report of the checks, all in `seconds`."""

    directory: LabDir
    plan: Plan
    changed: Mapping[str, int]
    report: Report
    seconds: float


def document(done: Provisioned) -> dict[str, Any]:
    """The result as the one document `labctl/provision/v1`."""
    return {
        "schema": "labctl/provision/v1",
        "lab": done.plan.name,
        "uuid": done.plan.uuid,
        "directory": str(done.directory.root),
        "seconds": round(done.seconds, 1),
        "changed": dict(done.changed),
        "verify": done.report.as_dict(),
    }


def preview(asked: Spec) -> list[str]:
    """What provision would do, in sentences, without doing anything (--dry-run). Raises as `plan` does."""
    missing = prepare.missing_packages(asked)
    intent = [f"install on this host: {', '.join(missing)}"] if missing else []
    if missing:
        return [*intent, "then decide the rest: what is missing changes what is possible"]
    plan = planning.decide(asked)
    planning.refuse_fewer(plan, planning.directory_of(asked))
    if plan.source.build_bundle:
        intent.append(f"build the offline bundle {plan.source.bundle_id}")
    intent += [f"make or keep {node.name} ({node.address}) with {plan.provider}" for node in plan.nodes]
    if plan.kubernetes:
        intent.append(f"bring up Kubernetes {plan.kubernetes.version} with {plan.kubernetes.cni}")
    return [*intent, "verify the lab"]


def provision(asked: Spec, *, agree: prepare.Agree, emit: Emit) -> Provisioned:
    """Build the lab, or bring an existing one back to what lab.yml says, and prove it.

    Raises SpecError, HostError, ProviderError, ConvergeError, LockedError; a lab that fails its checks is
    not an exception but a report that is not ok.
    """
    directory = planning.directory_of(asked)
    with labs.exclusive(directory, "provision"), labs.recorded(directory, "provision", emit) as told:
        return build(asked, directory, agree=agree, emit=told)


def build(asked: Spec, directory: LabDir, *, agree: prepare.Agree, emit: Emit) -> Provisioned:
    """Do what `provision` does for a caller that holds the lab's lock and keeps its journal."""
    began = time.monotonic()
    with phase(emit, "plan", "Look at this host and decide"):
        prepare.install_missing(asked, agree, emit)
        plan = planning.decide(asked)
        planning.refuse_fewer(plan, directory)
        _announce(plan, emit)
        if not directory.plan.exists():
            prepare.agree_to_start(plan, agree)
    with access.opened(plan.provider, emit) as provider:
        with phase(emit, "preflight", "Check that nothing stands in the way"):
            planning.refuse_orphans(plan, directory, provider.find_labs())
            prepare.refuse(provider.preflight(plan))
            labs.save(directory, plan)
        sources.ensure(plan, emit)
        calico.place(plan, directory, agree, emit)
        with phase(emit, "create", f"Make {len(plan.nodes)} machines", steps=len(plan.nodes)):
            nodes = tuple(provider.create(plan, directory, emit, "create"))
        changed = converge(plan, directory, emit)
        if plan.kubernetes is not None:
            hand_over(plan, directory, nodes, agree, emit)
        report = prove(labs.Lab(directory, plan), emit)
    return Provisioned(directory, plan, changed, report, time.monotonic() - began)


def converge(plan: Plan, directory: LabDir, emit: Emit) -> Mapping[str, int]:
    """Apply the roles while the package source is open to the nodes; the changed tasks per node."""
    with sources.serving(plan, directory, emit) as reached:
        labs.save_access(directory, reached)
        return runner.run_playbook("site.yml", lab=directory, emit=emit, deadline=CONVERGE_DEADLINE).changed


def hand_over(plan: Plan, directory: LabDir, nodes: tuple[Node, ...], agree: prepare.Agree, emit: Emit) -> None:
    """Bring the cluster's kubeconfig to the host, and kubectl with it."""
    with phase(emit, "kubeconfig", "Hand over kubeconfig and kubectl"):
        access.fetch_kubeconfig(plan, directory, nodes)
        access.install_kubectl(plan, directory)
        kubeconfigs.refresh(labs.Lab(directory, plan), emit, "kubeconfig")
        prepare.offer_kubectl(plan, agree, emit)


def _announce(plan: Plan, emit: Emit) -> None:
    cluster = f"Kubernetes {plan.kubernetes.version} with {plan.kubernetes.cni}" if plan.kubernetes else "no Kubernetes"
    text = f"{plan.name}: {len(plan.nodes)} machines by {plan.provider}, {cluster}, packages from {plan.source.kind}"
    emit(Note(phase="plan", text=text))
