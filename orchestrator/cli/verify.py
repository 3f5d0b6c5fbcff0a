"""`labctl verify`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode, SpecError
from orchestrator.events import discard

if TYPE_CHECKING:
    from orchestrator.verify import Report

WATCH_SECONDS = 5.0
_FORMATS = ("html", "junit")


@click.command()
@options.lab_option
@click.option("--only", multiple=True, metavar="LAYER|NODE|LAYER/NODE|CHECK", help="Only these checks; repeatable.")
@click.option("--direct", is_flag=True, help="Use testinfra's stock SSH backend instead of one session per node.")
@click.option("--report", "reports", multiple=True, metavar="html|junit=FILE", help="Also write a report; repeatable.")
@click.option("--watch", is_flag=True, help="Run again and again and say what changed; Ctrl-C ends it.")
@options.output_option
@options.progress_option
def verify(
    lab: Path | None,
    only: tuple[str, ...],
    direct: bool,
    reports: tuple[str, ...],
    watch: bool,
    output: str,
    progress: str,
) -> int:
    """Verify the health of the lab: every role's checks on every node, then the cluster's."""
    from orchestrator.cli.progress import show_progress
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import verify as verb

    files = [_report_file(text) for text in reports]
    if watch and output == "json":
        raise SpecError("--watch prints changes as they come, which is not one document", fix="labctl verify --watch")
    found = open_lab(lab)
    with show_progress(progress) as emit:
        report = verb.verify(found, emit=emit, only=only, direct=direct)
    _show(report, files, output)
    while watch:
        time.sleep(WATCH_SECONDS)
        before, report = report, verb.verify(found, emit=discard, only=only, direct=direct)
        _show_changes(before, report, files)
    return ExitCode.OK if report.ok else ExitCode.VERIFY


def _report_file(text: str) -> tuple[str, Path]:
    """The format and path of one --report; refused before anything runs when it could not be written."""
    form, _, name = text.partition("=")
    path = Path(name)
    if form not in _FORMATS or not name:
        raise SpecError(
            f"--report {text}: not a format and a file", fix="--report html=lab.html or --report junit=lab.xml"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise SpecError(f"--report {text}: {path} cannot be written there", fix=f"mkdir -p {path.parent}")
    return form, path


def _show(report: Report, files: list[tuple[str, Path]], output: str) -> None:
    from orchestrator.verify import render_text

    _write(report, files)
    if output == "json":
        options.print_json(report.as_dict())
    else:
        click.echo(render_text(report, terminal=sys.stdout.isatty()))


def _show_changes(before: Report, after: Report, files: list[tuple[str, Path]]) -> None:
    from orchestrator.verify import changes

    _write(after, files)
    for line in changes(before, after):
        click.echo(f"{time.strftime('%H:%M:%S')} {line}")


def _write(report: Report, files: list[tuple[str, Path]]) -> None:
    from orchestrator.verify import render_html, render_junit

    for form, path in files:
        try:
            path.write_text(render_html(report) if form == "html" else render_junit(report), encoding="utf-8")
        except OSError as problem:
            raise SpecError(f"the report cannot be written to {path}: {problem.strerror}", fix="another FILE") from None
