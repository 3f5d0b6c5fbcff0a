"""`labctl reset`: the cluster goes, its machines, packages and images stay."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator import runner
from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab import journal
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.state import Lab

DEADLINE = 600.0


def check(lab: Lab) -> None:
    """Raise SpecError when there is no cluster to take off, ProviderError when a machine does not run."""
    if lab.plan.kubernetes is None:
        raise SpecError(f"{lab.plan.name} has no Kubernetes (profile {lab.plan.profile})", fix="labctl status")
    if down := [f"{node.name} is {node.state}" for node in reported_nodes(lab) if node.state != "running"]:
        raise ProviderError(f"reset works on running machines: {', '.join(down)}", fix="labctl start")


def reset(lab: Lab, emit: Emit) -> Mapping[str, int]:
    """Take the cluster off every machine; the changed tasks per node. Raises ConvergeError, LockedError."""
    with exclusive_lock(lab.directory, "reset"), journal.recorded(lab.directory, "reset", emit) as told:
        check(lab)
        done = runner.run_playbook("reset.yml", lab=lab.directory, emit=told, deadline=DEADLINE)
        with phase(told, "reset", "Forget the cluster"):
            lab.directory.kubeconfig.unlink(missing_ok=True)
        return done.changed
