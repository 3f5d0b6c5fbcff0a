"""`labctl destroy`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@options.yes_option
@options.dry_run_option
@click.option("--id", "uuid", metavar="UUID", help="Destroy the lab with this id, also one of another directory.")
@options.output_option
@options.progress_option
def destroy(lab: Path | None, yes: bool, dry_run: bool, uuid: str | None, output: str, progress: str) -> int:
    """Remove the lab: its machines, networks, volumes and state. Nothing of other labs is touched."""
    from orchestrator.cli import progress as views
    from orchestrator.verbs import destroy as workflow

    doomed = workflow.find(lab, uuid)
    lines = workflow.describe(doomed)
    if dry_run or not doomed:
        if output == "json":
            options.print_json({"schema": "labctl/destroy/v1", "would": lines, "removed": []})
        else:
            click.echo(
                "\n".join(["would remove:", *(f"  {line}" for line in lines)]) if lines else "nothing to destroy"
            )
        return ExitCode.OK
    if not options.agreement(yes)("remove " + "; ".join(lines) + "?"):
        raise click.UsageError("not removed: destroying a lab needs your agreement; add --yes")
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        workflow.destroy(doomed, emit)
    if output == "json":
        options.print_json({"schema": "labctl/destroy/v1", "would": [], "removed": lines})
    else:
        click.echo("\n".join(f"removed {line}" for line in lines))
    return ExitCode.OK
