"""Machines on and off, for a verb that holds the lab's lock."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.events import Emit, phase
from orchestrator.lab.convergence import converge, install_kubeconfig
from orchestrator.lab.host_setup import refuse_problems
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.observed_lab import ObservedLab, observe_with
from orchestrator.lab.package_source import ensure_source
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.providers import ssh_access


def bring_up(lab: Lab, emit: Emit) -> tuple[ObservedLab, Mapping[str, int]]:
    """Start the machines that are off and apply the roles; the lab as it is then, and the changed tasks per node."""
    plan = lab.plan
    with open_provider(plan.provider, emit) as provider:
        with phase(emit, "start", f"Start {plan.name}", steps=len(plan.nodes)):
            refuse_problems(provider.preflight(plan))
            nodes = provider.start(plan, lab.directory, emit, "start")
        observed = observe_with(provider, lab, nodes)
        ensure_source(plan, emit)
        changed = converge(observed, emit)
        install_kubeconfig(observed, emit)
        return observed, changed


def power_off(lab: Lab, name: str, emit: Emit) -> None:
    """Switch one machine off."""
    plan = lab.plan
    alone = replace(plan, nodes=tuple(node for node in plan.nodes if node.name == name))
    with open_provider(plan.provider, emit) as provider, phase(emit, "power", f"Switch {name} off"):
        end_connections(provider.nodes(alone))
        provider.halt(alone, emit, "power")


def power_on(lab: Lab, emit: Emit) -> None:
    """Bring up what `power_off` switched off; no directory of this run is kept."""
    before = set(lab.directory.runs.iterdir())
    bring_up(lab, emit)
    for run in set(lab.directory.runs.iterdir()) - before:
        shutil.rmtree(run, ignore_errors=True)


def end_connections(nodes: Iterable[Node], uuid: str = "") -> None:
    """End the shared SSH connections to these nodes, and those of Ansible to the lab with this UUID."""
    if uuid:
        ssh_access.end_connections(uuid)
    for node in nodes:
        ssh_access.end_shared(node.ssh_user, node.ssh_port, node.ssh_host)
