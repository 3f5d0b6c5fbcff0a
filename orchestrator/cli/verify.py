"""`labctl verify`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@click.option("--only", multiple=True, metavar="LAYER|NODE|LAYER/NODE|CHECK", help="Only these checks; repeatable.")
@click.option("--direct", is_flag=True, help="Use testinfra's stock SSH backend instead of one session per node.")
@options.output_option
@options.progress_option
def verify(lab: Path | None, only: tuple[str, ...], direct: bool, output: str, progress: str) -> int:
    """Prove the health of the lab: every role's checks on every node, then the cluster's."""
    from orchestrator.cli import progress as views
    from orchestrator.verify.render import render_text
    from orchestrator.workflows import lab as labs
    from orchestrator.workflows.verify import verify_lab

    found = labs.open_lab(lab)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        report = verify_lab(found, emit=emit, only=only, direct=direct)
    if output == "json":
        options.print_json(report.as_dict())
    else:
        click.echo(render_text(report))
    return ExitCode.OK if report.ok else ExitCode.VERIFY
