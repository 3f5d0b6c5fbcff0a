"""`labctl plan`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, table

if TYPE_CHECKING:
    from orchestrator.spec import Spec
    from orchestrator.verbs.plan import PlanResult


@click.command()
@options.lab_spec
@options.output_option
def plan(spec: Spec, output: str) -> int:
    """Show every decision and its reason; start nothing."""
    from orchestrator.verbs import plan as verb

    return show(verb.plan(spec), output, _text)


def _text(result: PlanResult) -> Iterator[str]:
    from orchestrator.providers.registry import ssh_endpoint

    machines = [("machine", "role", "address", "cpus", "memory", "ssh")]
    for node in result.plan.nodes:
        _, address, port = ssh_endpoint(result.plan, node)
        role, size = node.role.replace("_", " "), f"{node.memory} MB"
        machines.append((node.name, role, node.address, str(node.cpus), size, f"{address}:{port}"))
    decisions = [(decision.field, decision.value, decision.reason) for decision in result.plan.decisions]
    yield from table(machines)
    yield ""
    yield from table([("decision", "value", "because"), *decisions])
    yield ""
    yield "Nothing was started. Create the lab: labctl provision"
