"""`labctl provision`: plan, create, converge, verify; run again, it brings the lab back to its plan."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.events import Emit
from orchestrator.lab.convergence import ALL_SHORTCUTS, ConvergeResult, Shortcuts, build_lab
from orchestrator.lab.host_setup import Agree, missing_packages
from orchestrator.lab.journal import changing
from orchestrator.lab.package_source import UNCONFIRMED, Confirmation
from orchestrator.lab.phases import ALL_PHASES, PHASES, PhaseRange
from orchestrator.lab.planning import decide, directory_of, refuse_fewer
from orchestrator.lab.pod_network import phrase
from orchestrator.model import ORIGINS
from orchestrator.spec import Spec


def preview(spec: Spec, phases: PhaseRange = ALL_PHASES) -> list[str]:
    """What a provision would do, in sentences. Raises as `plan` does."""
    if missing := missing_packages(spec):
        steps = [f"install on this host: {', '.join(missing)}"]
        return [*steps, "then plan the rest, which depends on these packages"]
    plan = decide(spec)
    refuse_fewer(plan, directory_of(spec))
    origin = f" from {ORIGINS[plan.source.origin]}" if plan.source.origin else ""
    steps = [f"make the bundle {plan.source.bundle_id}{origin}"] if plan.source.build_bundle else []
    if "machines" in phases.names:
        steps += [f"create or keep {node.name} ({node.address}) with {plan.provider}" for node in plan.nodes]
    if phases != ALL_PHASES:
        return [*steps, *(f"{name}: {PHASES[name]}" for name in phases.names if name != "machines")]
    if plan.kubernetes:
        steps.append(f"set up Kubernetes {plan.kubernetes.version} {phrase(plan.kubernetes)}")
    return [*steps, "verify the lab"]


def provision(
    spec: Spec,
    *,
    agree: Agree,
    emit: Emit,
    phases: PhaseRange = ALL_PHASES,
    sums: Confirmation = UNCONFIRMED,
    shortcuts: Shortcuts = ALL_SHORTCUTS,
) -> ConvergeResult:
    """Create the lab, or bring an existing one back to lab.yml, and verify it; `phases` is the part of it to do.

    `sums` is what the user confirms of what is fetched, `shortcuts` what may be saved. Raises SpecError, HostError,
    ProviderError, ConvergeError, LockedError; a lab that fails its checks is a result that is not ok.
    """
    directory = directory_of(spec)
    inputs = {"file": str(spec.file) if spec.file else "", "from": phases.first, "until": phases.last}
    with changing(directory, "provision", emit, inputs) as emit:
        done = build_lab(spec, directory, agree=agree, emit=emit, phases=phases, sums=sums, shortcuts=shortcuts)
    return replace(done, schema="labctl/provision/v1")
