"""`labctl reset`: remove the cluster from its machines, which keep their packages and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab.journal import changing
from orchestrator.lab.observed_lab import ObservedLab, observe_lab, require_running
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.pod_network import is_left_to_user
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab

DEADLINE = 600.0


@dataclass(frozen=True)
class ResetResult(Result):
    """The tasks that a reset changed per node."""

    lab: str
    changed: Mapping[str, int]
    schema = "labctl/reset/v1"


def preview(lab: Lab) -> list[str]:
    """What a reset would do, in sentences. Raises as `reset` does."""
    _observe_cluster(lab)
    network = ", and your pod network's files in /etc/cni/net.d" if is_left_to_user(lab.plan) else ""
    return [f"remove the cluster and all its data from {node.name}{network}" for node in lab.plan.nodes]


def reset(lab: Lab, emit: Emit) -> ResetResult:
    """Remove the cluster from every machine.

    Raises SpecError without a cluster, ProviderError when a machine does not run, ConvergeError, LockedError.
    """
    with changing(lab.directory, "reset", emit) as emit:
        run = run_playbook(_observe_cluster(lab), "reset.yml", emit=emit, deadline=DEADLINE)
        with phase(emit, "reset", "Remove the kubeconfig"):
            lab.directory.kubeconfig.unlink(missing_ok=True)
    return ResetResult(lab.plan.name, run.changed)


def _observe_cluster(lab: Lab) -> ObservedLab:
    """The lab, which has a cluster and whose machines all run."""
    if lab.plan.kubernetes is None:
        raise SpecError(f"{lab.plan.name} has no Kubernetes (profile {lab.plan.profile})", fix="labctl status")
    observed = observe_lab(lab)
    require_running(observed.nodes, "reset works on running machines")
    return observed
