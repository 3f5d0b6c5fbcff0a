"""Which provider a lab gets, and whether the host has the CPUs, memory and disk for its machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from orchestrator import host
from orchestrator.errors import Problem
from orchestrator.model import NodePlan, ProviderName
from orchestrator.observed import ProviderState
from orchestrator.plan.diagnostics import Diagnostics


@dataclass(frozen=True)
class Selection:
    """The provider of a lab and why; with `problems` it is the one to make ready."""

    state: ProviderState
    reason: str = ""
    problems: tuple[Problem, ...] = ()


def select(requested: str, states: Sequence[ProviderState], existing: ProviderName | None = None) -> Selection:
    """The provider that is named, the one the lab has, or the first of `states` that is ready."""
    if requested != "auto" or existing:
        name = existing if existing and requested == "auto" else requested
        state = next((state for state in states if state.name == name), None)
        reason = "auto: the lab has it already" if requested == "auto" else ""
        if state and state.ready:
            return Selection(state, reason)
        ready = [other.name for other in states if other.ready]
        instead = f", or provider: {ready[0]}" if ready and not existing else ""
        missing = state or ProviderState(name, ready=False)  # type: ignore[arg-type]
        text = f"the provider {name} cannot be used: {missing.detail or 'it is not installed'}"
        return Selection(missing, reason, (Problem(text, "provider", f"{missing.fix or 'install it'}{instead}"),))
    candidates = [state for state in states if state.traits.creates_machines]
    for state in candidates:
        if state.automatic:
            lacking = [(other.name, other.detail or other.only_named) for other in candidates if not other.automatic]
            others = "; ".join(f"{name}: {reason}" for name, reason in lacking if reason)
            return Selection(state, f"auto: the first that this host has{f' ({others})' if others else ''}")
    problems = [
        Problem(f"{state.name}: {state.detail or state.only_named or 'not ready'}", "provider", state.fix)
        for state in candidates
    ]
    last = candidates[-1] if candidates else ProviderState(get_args(ProviderName)[0], ready=False)
    return Selection(last, "", tuple(problems) or (Problem("no provider can be used", "provider"),))


def provider(diagnostics: Diagnostics) -> ProviderState:
    """The lab's provider; what it lacks is recorded."""
    observed = diagnostics.observed
    existing = observed.existing.provider if observed.existing else None
    selection = select(diagnostics.spec.lab.provider, observed.providers, existing)
    for problem in selection.problems:
        diagnostics.lack(problem.what, problem.fix or "labctl doctor --fix", "provider")
    diagnostics.decide("provider", selection.state.name, selection.reason)
    return selection.state


def check_capacity(state: ProviderState, nodes: Sequence[NodePlan], build_disk: int, diagnostics: Diagnostics) -> None:
    """Record what the host lacks in CPUs, memory and disk, for machines that are yet to be made."""
    observed, sizing = diagnostics.observed, state.traits.sizing
    kubernetes = diagnostics.spec.lab.kubernetes.enabled
    existing = {node.name for node in observed.existing.nodes} if observed.existing else set()
    new = [node for node in nodes if node.name not in existing]
    if kubernetes and observed.cpus < sizing.minimum_cpus:
        diagnostics.lack(f"{observed.cpus} CPU, kubeadm needs {sizing.minimum_cpus}", "take a machine with more CPUs")
    _check_memory(state, new, diagnostics)
    _check_inotify(state, new, diagnostics)
    per_node = sizing.disk_node if kubernetes else sizing.disk_bare
    disk = per_node * len(new) + (sizing.disk_lab if new else 0)
    disk += build_disk
    if disk > observed.disk_free:
        diagnostics.lack(
            f"{observed.disk_free} MB free under {observed.disk_path}, about {disk} MB are needed",
            "free some space there, or name another place: LABCTL_CACHE=DIR",
        )
    free = f"free under {observed.disk_path}"
    diagnostics.decide("host.disk", f"about {disk} MB of {observed.disk_free} MB", free)


def _check_memory(state: ProviderState, new: Sequence[NodePlan], diagnostics: Diagnostics) -> None:
    sizing, available = state.traits.sizing, diagnostics.observed.memory
    typical = {"control_plane": sizing.memory_control_plane, "worker": sizing.memory_worker}
    if not diagnostics.spec.lab.kubernetes.enabled:
        typical = dict.fromkeys(typical, sizing.memory_bare)
    limits = sum(node.memory for node in new)
    memory, verb, remark = limits, "take", "taken when the machines start"
    if not sizing.machine_memory:
        memory = sum(min(node.memory, typical[node.role]) for node in new)
        verb, remark = "use at least", f"typical use; the limits add up to {limits} MB"
    if memory > available:
        fix = "fewer workers (--workers N) or less memory for each"
        diagnostics.lack(f"{available} MB of memory, the machines {verb} {memory} MB", fix)
    diagnostics.decide("host.memory", f"{memory} MB of {available} MB", remark)


def _check_inotify(state: ProviderState, new: Sequence[NodePlan], diagnostics: Diagnostics) -> None:
    limit, used = diagnostics.observed.inotify_limit, diagnostics.observed.inotify_in_use
    workers = sum(node.role == "worker" for node in new)
    needed = state.traits.sizing.inotify(len(new) - workers, workers, diagnostics.spec.lab.kubernetes.enabled)
    if limit is None:
        return
    for unit, most, in_use, more in (
        ("instances", limit.instances, used.instances, needed.instances),
        ("watches", limit.watches, used.watches, needed.watches),
    ):
        if more and in_use + more > most:
            diagnostics.lack(
                f"{most} inotify {unit} for each user: {in_use} of root's are in use, {len(new)} new nodes open "
                f"{more} more; a kubelet that gets none does not start",
                inotify_remedy(unit, most, in_use + more),
            )


def inotify_remedy(unit: str, limit: int, needed: int) -> str:
    """The command for a limit that `needed` exceeds: doubled until it holds twice of it, for pods and the next lab."""
    while limit < 2 * needed:
        limit = max(64, 2 * limit)
    return host.sysctl_command(f"fs.inotify.max_user_{unit}", limit)
