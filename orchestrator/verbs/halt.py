"""`labctl halt`: shut all machines down and keep them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.events import Emit, phase
from orchestrator.lab.journal import changing
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.power import end_connections
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab


@dataclass(frozen=True)
class HaltResult(Result):
    """The machines that a halt stopped."""

    lab: str
    stopped: tuple[str, ...]
    schema = "labctl/halt/v1"


def preview(lab: Lab) -> list[str]:
    """What a halt would do, in sentences."""
    return [f"stop {node.name}" for node in observe_lab(lab).running]


def halt(lab: Lab, emit: Emit) -> HaltResult:
    """Shut all machines down. Raises ProviderError, LockedError."""
    with changing(lab.directory, "halt", emit) as emit:
        with open_provider(lab.plan.provider, emit) as provider, phase(emit, "halt", f"Stop {lab.plan.name}"):
            running = [node for node in provider.nodes(lab.plan) if node.state == "running"]
            end_connections(running, lab.plan.uuid)
            provider.halt(lab.plan, emit, "halt")
        return HaltResult(lab.plan.name, tuple(node.name for node in running))
