"""`labctl reset`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def reset(lab: Path | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Take the cluster off the machines, which stay with their packages and images; provision makes a new one."""
    from orchestrator.cli import progress as views
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import reset as workflow

    found = open_lab(lab)
    if dry_run:
        workflow.check(found)
        lines = [f"take the cluster and all that is in it off {node.name}" for node in found.plan.nodes]
        return options.preview(lines, output)
    if not options.agreement(yes)(f"remove the cluster of {found.plan.name} and all that is in it?"):
        raise click.UsageError("not reset: what is in the cluster is lost, which needs your agreement; add --yes")
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        changed = workflow.reset(found, emit)
    if output == "json":
        options.print_json({"schema": "labctl/reset/v1", "lab": found.plan.name, "changed": dict(changed)})
    else:
        click.echo(f"{found.plan.name} has no cluster any more; make a new one: labctl provision")
    return ExitCode.OK
