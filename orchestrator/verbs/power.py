"""`labctl halt` and `labctl start`: machines off, machines on again and proved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import ProviderError
from orchestrator.events import Emit, phase
from orchestrator.lab import journal
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider, reported_nodes
from orchestrator.lab.power import bring_up
from orchestrator.lab.state import Lab
from orchestrator.lab.verification import prove
from orchestrator.providers import ssh_access
from orchestrator.verify import Report


@dataclass(frozen=True)
class Started:
    """What a start did: tasks changed per node, the report, all in `seconds`."""

    lab: Lab
    report: Report
    seconds: float
    changed: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The result as the one document `labctl/start/v1`."""
        return {
            "schema": "labctl/start/v1",
            "lab": self.lab.plan.name,
            "seconds": round(self.seconds, 1),
            "changed": dict(self.changed),
            "verify": self.report.as_dict(),
        }


def running(lab: Lab) -> list[str]:
    """The machines that run."""
    return [node.name for node in reported_nodes(lab) if node.state == "running"]


def stopped(lab: Lab) -> list[str]:
    """The machines that are there and do not run. Raises ProviderError when one is not there at all."""
    nodes = reported_nodes(lab)
    if missing := [node.name for node in nodes if node.state == "missing"]:
        raise ProviderError(f"no machine for {', '.join(missing)}", fix="labctl provision   (makes what is missing)")
    return [node.name for node in nodes if node.state != "running"]


def halt(lab: Lab, emit: Emit) -> list[str]:
    """Shut all machines down as machines; returns those that ran. Raises ProviderError, LockedError."""
    with exclusive_lock(lab.directory, "halt"), journal.recorded(lab.directory, "halt", emit) as told:
        with open_provider(lab.plan.provider, told) as provider, phase(told, "halt", f"Stop {lab.plan.name}"):
            nodes = [node for node in provider.nodes(lab.plan) if node.state == "running"]
            ssh_access.end_connections(lab.plan.uuid)
            for node in nodes:
                ssh_access.end_shared(node.ssh_user, node.ssh_port, node.ssh_host)
            provider.halt(lab.plan, told, "halt")
        return [node.name for node in nodes]


def start(lab: Lab, emit: Emit) -> Started:
    """Start the machines, apply the roles and prove the lab.

    The roles are applied always: they wait for what a boot brings up by and by, and heal what the pause broke.
    Raises ProviderError, HostError, ConvergeError, LockedError; a lab that stays unhealthy is a report that is not ok.
    """
    began = time.monotonic()
    with exclusive_lock(lab.directory, "start"), journal.recorded(lab.directory, "start", emit) as told:
        changed = bring_up(lab, told)
        report = prove(lab, told)
        return Started(lab, report, time.monotonic() - began, changed)
