"""What the host must offer: the provider, CPUs, memory and disk."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.catalog import Catalog, Sizing
from orchestrator.model import NodePlan, Observed, ProviderName
from orchestrator.plan.ledger import Ledger


def provider(observed: Observed, ledger: Ledger) -> ProviderName:
    """The provider that is asked for, the one the lab has, or the first that is ready."""
    asked = ledger.spec.lab.provider
    states = {state.name: state for state in observed.providers}
    if asked != "auto" or observed.existing:
        name: ProviderName = observed.existing.provider if asked == "auto" and observed.existing else asked  # type: ignore[assignment]
        state = states.get(name)
        if state is None or not state.ready:
            ready = [other.name for other in observed.providers if other.ready]
            fix = (state.fix if state else "") or "install it"
            instead = f", or provider: {ready[0]}" if ready and not observed.existing else ""
            ledger.lack(
                f"the provider {name} cannot be used: {(state.detail if state else '') or 'it is not installed'}",
                f"{fix}{instead}",
                ledger.spec.at("provider"),
            )
        ledger.decide("provider", name, "auto: the lab has it already" if asked == "auto" else "")
        return name
    for state in observed.providers:
        if state.automatic and state.name != "static":
            passed = [
                f"{other.name}: {other.detail or other.only_named}"
                for other in observed.providers
                if other.name != "static" and not other.automatic and (other.detail or other.only_named)
            ]
            others = f" ({'; '.join(passed)})" if passed else ""
            ledger.decide("provider", state.name, f"auto: the first that this host has{others}")
            return state.name
    for state in observed.providers:
        if state.name != "static":
            ledger.lack(f"{state.name}: {state.detail or 'not ready'}", state.fix or "labctl doctor", "provider")
    if not observed.providers:
        ledger.lack("no provider can be used", "labctl doctor --fix", "provider")
    return "container"


def capacity(
    name: ProviderName,
    nodes: Sequence[NodePlan],
    kubernetes: bool,
    build: bool,
    observed: Observed,
    catalog: Catalog,
    ledger: Ledger,
) -> None:
    """Record what the host lacks in CPUs, memory and disk, for machines that are yet to be made."""
    sizing = catalog.sizing[name]
    there = {node.name for node in observed.existing.nodes} if observed.existing else set()
    new = [node for node in nodes if node.name not in there]
    if kubernetes and observed.cpus < sizing.minimum_cpus:
        ledger.lack(f"{observed.cpus} CPU, kubeadm needs {sizing.minimum_cpus}", "take a machine with more CPUs")
    _memory(sizing, new, kubernetes, observed, ledger)
    per_node = sizing.disk_node if kubernetes else sizing.disk_bare
    disk = per_node * len(new) + (sizing.disk_lab if new else 0) + (catalog.bundle_build_disk if build else 0)
    if disk > observed.disk_free:
        ledger.lack(
            f"{observed.disk_free} MB free under {observed.disk_path}, about {disk} MB are needed",
            "free some space there, or name another place: LABCTL_CACHE=DIR",
        )
    ledger.decide("host.disk", f"about {disk} MB of {observed.disk_free} MB", f"free under {observed.disk_path}")


def _memory(sizing: Sizing, new: Sequence[NodePlan], kubernetes: bool, observed: Observed, ledger: Ledger) -> None:
    def needs(node: NodePlan) -> int:
        if sizing.machine_memory:
            return node.memory
        if not kubernetes:
            return min(node.memory, sizing.memory_bare)
        typical = sizing.memory_control_plane if node.role == "control_plane" else sizing.memory_worker
        return min(node.memory, typical)

    memory = sum(map(needs, new))
    if memory > observed.memory:
        how = "take" if sizing.machine_memory else "use at least"
        ledger.lack(
            f"{observed.memory} MB of memory, the machines {how} {memory} MB",
            "fewer workers (--workers N) or less memory for each",
        )
    limits = sum(node.memory for node in new)
    remark = (
        "taken when the machines start" if sizing.machine_memory else f"typical use; the limits add up to {limits} MB"
    )
    ledger.decide("host.memory", f"{memory} MB of {observed.memory} MB", remark)
