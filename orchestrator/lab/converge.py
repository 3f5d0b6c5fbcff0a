"""Applies the roles to a lab's nodes, and hands its kubeconfig over to the host."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator import runner
from orchestrator.events import Emit, phase
from orchestrator.lab import host_setup as prepare
from orchestrator.lab import kubeconfigs, phases
from orchestrator.lab import package_source as sources
from orchestrator.lab.kubectl import fetch_kubeconfig, install_kubectl
from orchestrator.lab.phases import WHOLE, Span
from orchestrator.lab.state import Lab, save_source_access
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access

# Generous bounds: what takes longer than this on a slow machine is stuck, not slow.
CONVERGE_DEADLINE = 1800.0


def converge(plan: Plan, directory: LabDir, emit: Emit, span: Span = WHOLE) -> Mapping[str, int]:
    """Apply the roles while the package source is open to the nodes; the changed tasks per node."""
    with sources.serving(plan, directory, emit) as reached:
        save_source_access(directory, reached)
        ssh_access.ensure_node_key(directory)
        roles = phases.playbook(span, directory)
        return runner.run_playbook(roles, lab=directory, emit=emit, deadline=CONVERGE_DEADLINE).changed


def hand_over(plan: Plan, directory: LabDir, nodes: tuple[Node, ...], agree: prepare.Agree, emit: Emit) -> None:
    """Bring the cluster's kubeconfig to the host, and kubectl with it."""
    with phase(emit, "kubeconfig", "Hand over kubeconfig and kubectl"):
        fetch_kubeconfig(plan, directory, nodes)
        install_kubectl(plan, directory)
        kubeconfigs.refresh(Lab(directory, plan), emit, "kubeconfig")
        prepare.offer_kubectl(plan, agree, emit)
