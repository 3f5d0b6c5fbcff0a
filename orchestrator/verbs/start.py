"""`labctl start`: start the machines, repair what the pause broke, and verify the lab."""

from __future__ import annotations

import time

from orchestrator.errors import ProviderError
from orchestrator.events import Emit
from orchestrator.lab.convergence import ConvergeResult
from orchestrator.lab.journal import changing
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.power import bring_up
from orchestrator.lab.state import Lab
from orchestrator.lab.verification import wait_until_healthy


def preview(lab: Lab) -> list[str]:
    """What a start would do, in sentences. Raises ProviderError when a machine does not exist."""
    nodes = observe_lab(lab).nodes
    if missing := [node.name for node in nodes if node.state == "missing"]:
        raise ProviderError(f"no machine for {', '.join(missing)}", fix="labctl provision   (creates what is missing)")
    stopped = [f"start {node.name}" for node in nodes if node.state != "running"]
    return [*stopped, "apply the roles", "verify the lab"]


def start(lab: Lab, emit: Emit) -> ConvergeResult:
    """Start the machines, apply the roles and verify the lab.

    The roles are always applied: they wait for what a boot brings up, and repair what the pause broke.
    Raises ProviderError, HostError, ConvergeError, LockedError; a lab that stays unhealthy is a result that is not ok.
    """
    began = time.monotonic()
    with changing(lab.directory, "start", emit) as emit:
        observed, changed = bring_up(lab, emit)
        report = wait_until_healthy(observed, emit)
    return ConvergeResult("labctl/start/v1", lab, changed, report, time.monotonic() - began)
