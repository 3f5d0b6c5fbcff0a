"""The one place that prints what a verb returned: as text, as one JSON document, or as the steps of --dry-run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.checks.model import Report


class Result(Protocol):
    """What a verb returns: frozen data that names its JSON schema."""

    @property
    def schema(self) -> str:
        """The name of its document, such as `labctl/halt/v1`."""

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document, without its schema."""


class VerifiedResult(Result, Protocol):
    """What a verb returns that ends with a verification."""

    @property
    def report(self) -> Report | None:
        """The report of the checks; None when they were not run."""


AnyResult = TypeVar("AnyResult", bound=Result)
AnyVerifiedResult = TypeVar("AnyVerifiedResult", bound=VerifiedResult)


def show(
    result: AnyResult,
    output: str,
    text: Callable[[AnyResult], Iterable[str]],
    exit_code: ExitCode = ExitCode.OK,
) -> int:
    """Print a result on stdout, `text` giving its lines for people; returns the exit code of the command."""
    if output == "json":
        print_json({"schema": result.schema, **result.as_dict()})
    else:
        for line in text(result):
            click.echo(line)
    return int(exit_code)


def show_verified(result: AnyVerifiedResult, output: str, text: Callable[[AnyVerifiedResult], Iterable[str]]) -> int:
    """Print a result after its report, if it has one; returns exit code 6 when a check failed."""

    def lines(result: AnyVerifiedResult) -> Iterator[str]:
        from orchestrator.checks.text import render_text

        if result.report:
            yield render_text(result.report, terminal=sys.stdout.isatty()).rstrip()
            yield ""
        yield from text(result)

    failed = result.report is not None and not result.report.ok
    return show(result, output, lines, ExitCode.VERIFY if failed else ExitCode.OK)


def show_dry_run(steps: Sequence[str], output: str) -> int:
    """Print what a command would do; returns the exit code of a dry run."""
    if output == "json":
        print_json({"schema": "labctl/dry-run/v1", "would": list(steps)})
    else:
        click.echo("\n".join(["would:", *(f"  {line}" for line in steps), "Nothing was changed."]))
    return int(ExitCode.OK)


def is_text(output: str) -> bool:
    """Whether stdout is for people, who may see results as they come."""
    return output == "text"


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
