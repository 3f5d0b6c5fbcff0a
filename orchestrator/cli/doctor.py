"""`labctl doctor`: is this host ready, and the fix for each problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli import options
from orchestrator.cli.output import show
from orchestrator.cli.report_files import report_lines, report_option, write_reports
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@options.spec_options
@click.option("--fix", is_flag=True, help="Install missing packages and remove stale files, after asking.")
@report_option
@options.yes_option
@options.output_option
def doctor(
    lab: Path | None, fix: bool, reports: tuple[tuple[str, Path], ...], yes: bool, output: str, **given: Any
) -> int:
    """Check this host: what a lab needs, what it has, and the exact fix for each problem. Exit 0 or 3."""
    from orchestrator.lab import planning
    from orchestrator.verbs.doctor import diagnose, repair

    spec = planning.load(lab, options.overrides(**given))
    report = diagnose(spec)
    if fix and repair(report, options.agreement(yes)):
        report = diagnose(spec)
    write_reports(report, reports)
    return show(report, output, report_lines, ExitCode.OK if report.ok else ExitCode.HOST)
