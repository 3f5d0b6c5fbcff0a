"""Machines on and off, for a verb that holds the lab's lock."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace

from orchestrator.events import Emit, phase
from orchestrator.lab import host_setup as prepare
from orchestrator.lab import package_source as sources
from orchestrator.lab.converge import converge, hand_over
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import Lab
from orchestrator.providers import ssh_access


def bring_up(lab: Lab, emit: Emit) -> Mapping[str, int]:
    """Start the machines that are off and apply the roles, for whoever holds the lab; tasks changed per node."""
    plan = lab.plan
    with open_provider(plan.provider, emit) as provider:
        with phase(emit, "start", f"Start {plan.name}", steps=len(plan.nodes)):
            prepare.refuse(provider.preflight(plan))
            nodes = tuple(provider.start(plan, lab.directory, emit, "start"))
        sources.ensure(plan, emit)
        changed = converge(plan, lab.directory, emit)
        if plan.kubernetes is not None:
            hand_over(plan, lab.directory, nodes, _decline, emit)
        return changed


def power_off(lab: Lab, name: str, emit: Emit) -> None:
    """Switch one machine off, for whoever holds the lab."""
    plan = lab.plan
    alone = replace(plan, nodes=tuple(node for node in plan.nodes if node.name == name))
    with open_provider(plan.provider, emit) as provider, phase(emit, "power", f"Switch {name} off"):
        for node in provider.nodes(alone):
            ssh_access.end_shared(node.ssh_user, node.ssh_port, node.ssh_host)
        provider.halt(alone, emit, "power")


def power_on(lab: Lab, emit: Emit) -> None:
    """Bring up what `power_off` switched off, for whoever holds the lab; no directory of this run is kept."""
    before = set(lab.directory.runs.iterdir())
    bring_up(lab, emit)
    for run in set(lab.directory.runs.iterdir()) - before:
        shutil.rmtree(run, ignore_errors=True)


def _decline(question: str) -> bool:
    """Nothing is installed on the host by a start."""
    return False
