"""`labctl render`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@options.spec_options
@click.option(
    "--to", "to", type=click.Path(path_type=Path, file_okay=False), default=Path("rendered"), show_default=True,
    help="The directory to write to.",
)  # fmt: skip
@options.dry_run_option
@options.output_option
def render(
    lab: Path | None,
    provider: str | None,
    workers: int | None,
    kubernetes: str | None,
    profile: str | None,
    to: Path,
    dry_run: bool,
    output: str,
) -> int:
    """Write Vagrantfile, inventory and plan; start nothing."""
    from orchestrator.lab import planning
    from orchestrator.verbs import render as workflow

    spec = planning.load(
        lab, options.overrides(provider=provider, workers=workers, kubernetes=kubernetes, profile=profile)
    )
    if dry_run:
        intent = workflow.preview(spec, to)
        if output == "json":
            options.print_json({"schema": "labctl/dry-run/v1", "would": intent})
        else:
            click.echo("\n".join(["would:", *(f"  {line}" for line in intent), "Nothing was written."]))
        return ExitCode.OK
    done = workflow.render(spec, to)
    if output == "json":
        options.print_json(workflow.document(done))
    else:
        click.echo("\n".join([*(f"wrote {path}" for path in done.files), *done.notes]))
    return ExitCode.OK
