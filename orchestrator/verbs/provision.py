"""`labctl provision`: observe, plan, preflight, create, converge, verify; run again, it converges."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import ProviderError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab import calico_manifest as calico
from orchestrator.lab import host_setup as prepare
from orchestrator.lab import journal, planning
from orchestrator.lab import package_source as sources
from orchestrator.lab.converge import converge, hand_over
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.phases import PHASES, WHOLE, Span
from orchestrator.lab.state import Lab, save_plan
from orchestrator.lab.verification import prove
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir
from orchestrator.spec import Spec
from orchestrator.verify import Report


@dataclass(frozen=True)
class Provisioned:
    """What a provision did: the plan, tasks changed per node, the report of the checks, all in `seconds`.

    There is no report when the run was to stop before `verify`.
    """

    directory: LabDir
    plan: Plan
    changed: Mapping[str, int]
    report: Report | None
    seconds: float
    span: Span = WHOLE

    @property
    def ok(self) -> bool:
        """Whether nothing failed of what was to be done."""
        return self.report is None or self.report.ok


def document(done: Provisioned) -> dict[str, Any]:
    """The result as the one document `labctl/provision/v1`."""
    return {
        "schema": "labctl/provision/v1",
        "lab": done.plan.name,
        "uuid": done.plan.uuid,
        "directory": str(done.directory.root),
        "seconds": round(done.seconds, 1),
        "changed": dict(done.changed),
        "phases": [name for name in PHASES if done.span.has(name)],
        "verify": done.report.as_dict() if done.report else None,
    }


def preview(asked: Spec, span: Span = WHOLE) -> list[str]:
    """What provision would do, in sentences, without doing anything (--dry-run). Raises as `plan` does."""
    missing = prepare.missing_packages(asked)
    intent = [f"install on this host: {', '.join(missing)}"] if missing else []
    if missing:
        return [*intent, "then decide the rest: what is missing changes what is possible"]
    plan = planning.decide(asked)
    planning.refuse_fewer(plan, planning.directory_of(asked))
    if plan.source.build_bundle:
        intent.append(f"build the offline bundle {plan.source.bundle_id}")
    if span.has("machines"):
        intent += [f"make or keep {node.name} ({node.address}) with {plan.provider}" for node in plan.nodes]
    if not span.whole:
        return [*intent, *(f"{name}: {PHASES[name]}" for name in PHASES if span.has(name) and name != "machines")]
    if plan.kubernetes:
        intent.append(f"bring up Kubernetes {plan.kubernetes.version} with {plan.kubernetes.cni}")
    return [*intent, "verify the lab"]


def provision(asked: Spec, *, agree: prepare.Agree, emit: Emit, span: Span = WHOLE) -> Provisioned:
    """Build the lab, or bring an existing one back to what lab.yml says, and prove it; `span` is the part of it to do.

    Raises SpecError, HostError, ProviderError, ConvergeError, LockedError; a lab that fails its checks is
    not an exception but a report that is not ok.
    """
    directory = planning.directory_of(asked)
    inputs = {"file": str(asked.file) if asked.file else "", "from": span.first, "until": span.last}
    with exclusive_lock(directory, "provision"), journal.recorded(directory, "provision", emit, inputs) as told:
        return build(asked, directory, agree=agree, emit=told, span=span)


def build(asked: Spec, directory: LabDir, *, agree: prepare.Agree, emit: Emit, span: Span = WHOLE) -> Provisioned:
    """Do what `provision` does for a caller that holds the lab's lock and keeps its journal."""
    began = time.monotonic()
    with phase(emit, "plan", "Look at this host and decide"):
        prepare.install_missing(asked, agree, emit)
        plan = planning.decide(asked)
        planning.refuse_fewer(plan, directory)
        _announce(plan, emit)
        if not directory.plan.exists():
            prepare.agree_to_start(plan, agree)
    with open_provider(plan.provider, emit) as provider:
        with phase(emit, "preflight", "Check that nothing stands in the way"):
            planning.refuse_orphans(plan, directory, provider.find_labs())
            prepare.refuse(provider.preflight(plan))
            save_plan(directory, plan)
        journal.note_inputs(directory, "plan", _inputs(plan))
        if span.playbooks:
            sources.ensure(plan, emit)
            calico.place(plan, directory, agree, emit)
        if span.has("machines"):
            with phase(emit, "create", f"Make {len(plan.nodes)} machines", steps=len(plan.nodes)):
                nodes = tuple(provider.create(plan, directory, emit, "create"))
        else:
            nodes = _running(provider.nodes(plan))
        changed = converge(plan, directory, emit, span) if span.playbooks else {node.name: 0 for node in nodes}
        journal.note_result(directory, "converge", {"changed": changed})
        if plan.kubernetes is not None and span.has("kubeconfig"):
            hand_over(plan, directory, nodes, agree, emit)
        report = prove(Lab(directory, plan), emit) if span.has("verify") else None
        if report:
            journal.note_result(directory, "verify", {"ok": report.ok, "failed": report.count("failed", "error")})
    return Provisioned(directory, plan, changed, report, time.monotonic() - began, span)


def _running(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, all of which must run. Raises ProviderError naming those that do not."""
    if down := [f"{node.name} is {node.state}" for node in nodes if node.state != "running"]:
        raise ProviderError(
            f"a provision that leaves out the machines needs them running: {', '.join(down)}", fix="labctl provision"
        )
    return tuple(nodes)


def _inputs(plan: Plan) -> dict[str, Any]:
    """What the phases after the plan work with, for the journal."""
    return {
        "plan": hashlib.sha256(plan.as_json().encode()).hexdigest(),
        "provider": plan.provider,
        "machines": [node.name for node in plan.nodes],
        "kubernetes": plan.kubernetes.version if plan.kubernetes else "",
        "source": plan.source.bundle_id or plan.source.url or plan.source.kind,
    }


def _announce(plan: Plan, emit: Emit) -> None:
    cluster = f"Kubernetes {plan.kubernetes.version} with {plan.kubernetes.cni}" if plan.kubernetes else "no Kubernetes"
    text = f"{plan.name}: {len(plan.nodes)} machines by {plan.provider}, {cluster}, packages from {plan.source.kind}"
    emit(Note(phase="plan", text=text))
