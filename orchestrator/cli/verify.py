"""`labctl verify`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.cli.output import show
from orchestrator.cli.report_files import report_lines, report_option, write_reports
from orchestrator.errors import ExitCode, SpecError
from orchestrator.events import discard

WATCH_SECONDS = 5.0


@click.command()
@options.lab_option
@click.option("--only", multiple=True, metavar="LAYER|NODE|LAYER/NODE|CHECK", help="Only these checks; repeatable.")
@click.option("--direct", is_flag=True, help="Use testinfra's stock SSH backend instead of one session per node.")
@report_option
@click.option("--watch", is_flag=True, help="Run again and again and print what changed; Ctrl-C ends it.")
@options.output_option
@options.progress_option
def verify(
    lab: Path | None,
    only: tuple[str, ...],
    direct: bool,
    reports: tuple[tuple[str, Path], ...],
    watch: bool,
    output: str,
    progress: str,
) -> int:
    """Verify the health of the lab: every role's checks on every node, then the cluster's."""
    from orchestrator.checks.changes import changes
    from orchestrator.cli.progress import show_progress
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import verify as verb

    if watch and output != "text":
        raise SpecError("--watch prints changes as they come, which is not one document", fix="labctl verify --watch")
    opened = open_lab(lab)
    with show_progress(progress) as emit:
        report = verb.verify(opened, emit=emit, only=only, direct=direct)
    write_reports(report, reports)
    code = show(report, output, report_lines, ExitCode.OK if report.ok else ExitCode.VERIFY)
    while watch:
        time.sleep(WATCH_SECONDS)
        before, report = report, verb.verify(opened, emit=discard, only=only, direct=direct)
        write_reports(report, reports)
        for line in changes(before, report):
            click.echo(f"{time.strftime('%H:%M:%S')} {line}")
    return code
