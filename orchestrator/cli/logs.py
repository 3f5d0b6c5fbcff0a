"""`labctl logs`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), help="The archive; default: NAME-logs-TIME.tar.gz."
)
@options.output_option
@options.progress_option
def logs(lab: Path | None, to: Path | None, output: str, progress: str) -> int:
    """Pack what the lab's machines, cluster and runs say into an archive without secrets."""
    from orchestrator.cli import progress as views
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import logs as workflow

    found = open_lab(lab)
    target = to or Path(f"{found.plan.name}-logs-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        names = workflow.pack(found, target, emit)
    if output == "json":
        options.print_json({"schema": "labctl/logs/v1", "archive": str(target), "files": names})
    else:
        click.echo(f"{target}: {len(names)} files, keys and tokens taken out; look before you send it")
    return ExitCode.OK
