"""`labctl plan` and `labctl catalog`: every decision with its reason; what can be combined."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.model import Plan


@click.command()
@options.lab_option
@options.spec_options
@options.output_option
def plan(
    lab: Path | None,
    provider: str | None,
    workers: int | None,
    kubernetes: str | None,
    profile: str | None,
    output: str,
) -> None:
    """Show every decision and its reason; start nothing."""
    from orchestrator.lab import planning

    spec = planning.load(
        lab, options.overrides(provider=provider, workers=workers, kubernetes=kubernetes, profile=profile)
    )
    decided = planning.decide(spec)
    if output == "json":
        options.print_json(json.loads(decided.as_json()))
    else:
        click.echo(render(decided))


def render(plan: Plan) -> str:
    """The plan for people: the machines, then each decision with its reason."""
    machines: list[tuple[str, ...]] = [("machine", "role", "address", "cpus", "memory", "ssh")]
    machines += [
        (
            n.name,
            n.role.replace("_", " "),
            n.address,
            str(n.cpus),
            f"{n.memory} MB",
            ":".join(map(str, plan.ssh_endpoint(n)[1:])),
        )
        for n in plan.nodes
    ]
    decisions: list[tuple[str, ...]] = [("decision", "value", "because")]
    decisions += [(d.field, d.value, d.reason) for d in plan.decisions]
    return f"{_table(machines)}\n\n{_table(decisions)}\n\nNothing was started. Build it: labctl provision"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


@click.command()
@options.output_option
def catalog(output: str) -> None:
    """Show what can be combined, and what of it was executed, rendered or only read up."""
    from dataclasses import asdict

    from orchestrator.catalog import facts, tested

    if output == "json":
        options.print_json({"schema": "labctl/catalog/v1", **asdict(facts.load())})
    else:
        click.echo(tested.page())
