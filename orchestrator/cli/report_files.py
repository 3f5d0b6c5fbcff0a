"""The option --report html|junit=FILE, and writing what it names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.errors import SpecError

if TYPE_CHECKING:
    from orchestrator.checks.model import Report

Command = TypeVar("Command", bound=Callable[..., Any])


def report_option(command: Command) -> Command:
    """--report html|junit=FILE: also write the report to a file; refused at once when it could not be written."""
    return click.option(
        "--report",
        "reports",
        multiple=True,
        callback=lambda context, parameter, values: tuple(map(_report_file, values)),
        metavar="html|junit=FILE",
        help="Also write a report; repeatable.",
    )(command)


def _report_file(value: str) -> tuple[str, Path]:
    form, _, name = value.partition("=")
    path = Path(name)
    if form not in ("html", "junit") or not name:
        raise SpecError(
            f"--report {value}: not a format and a file", fix="--report html=lab.html or --report junit=lab.xml"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise SpecError(f"--report {value}: {path} cannot be written", fix=f"mkdir -p {path.parent}")
    return form, path


def write_reports(report: Report, files: Sequence[tuple[str, Path]]) -> None:
    """Write the report to each file in its form. Raises SpecError."""
    from orchestrator.checks.html import render_html
    from orchestrator.checks.junit import render_junit

    for form, path in files:
        try:
            path.write_text(render_html(report) if form == "html" else render_junit(report), encoding="utf-8")
        except OSError as problem:
            raise SpecError(f"the report cannot be written to {path}: {problem.strerror}", fix="another FILE") from None


def report_lines(report: Report) -> list[str]:
    """The report for people, in colour on a terminal."""
    from orchestrator.checks.text import render_text

    return [render_text(report, terminal=sys.stdout.isatty())]
