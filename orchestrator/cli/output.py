"""The one place that prints what a verb returned: as text, as one JSON document, or as the steps of --dry-run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import click

from orchestrator.errors import ExitCode


class Result(Protocol):
    """What a verb returns: frozen data that names its JSON schema."""

    @property
    def schema(self) -> str:
        """The name of its document, such as `labctl/halt/v1`."""

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document, without its schema."""


AnyResult = TypeVar("AnyResult", bound=Result)


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
