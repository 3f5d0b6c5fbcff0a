"""`labctl conformance`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run
from orchestrator.cli.progress import show_progress
from orchestrator.cli.report_files import report_lines, report_option, write_reports
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@click.option("--focus", default="", metavar="REGEX", help="Only specs whose name fits, such as sig-network.")
@click.option("--skip", default="", metavar="REGEX", help="Not the specs whose name fits.")
@click.option(
    "--procs",
    "processes",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="Specs side by side; those marked Serial always run alone.",
)
@report_option
@options.preview_options
@options.progress_option
def conformance(
    lab: Lab, reports: tuple[tuple[str, Path], ...], dry_run: bool, output: str, progress: str, **selection: Any
) -> int:
    """Run the conformance suite of the lab's own Kubernetes version; interrupted, it cleans up its namespaces.

    Its programs and images come from a bundle: labctl bundle build --conformance.
    """
    from orchestrator.verbs import conformance as verb

    chosen = verb.Selection(**selection)
    if dry_run:
        return show_dry_run(verb.preview(lab, chosen), output)
    with show_progress(progress) as emit:
        report = verb.conformance(lab, chosen, emit)
    write_reports(report, reports)
    return show(report, output, report_lines, ExitCode.OK if report.ok else ExitCode.VERIFY)
