"""`labctl list`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, table

if TYPE_CHECKING:
    from orchestrator.verbs.list import Labs


@click.command(name="list")
@options.output_option
def command(output: str) -> int:
    """Show every lab on this host, of every provider and folder; `labctl destroy --id ID` removes one."""
    from orchestrator.verbs.list import list_labs

    return show(list_labs(), output, _text)


def _text(listed: Labs) -> Iterator[str]:
    from orchestrator.lab.duration import in_words

    rows: list[tuple[str, ...]] = [("lab", "provider", "state", "size", "age", "id", "folder")]
    for lab in listed.labs:
        age = in_words(time.time() - lab.since) if lab.since else "-"
        rows.append((lab.name, lab.provider, lab.state, _size(lab.size), age, lab.id, lab.directory))
    yield from table(rows) if listed.labs else ["no lab on this host"]
    for provider, why in listed.unanswered.items():
        yield f"{provider}: its labs are not listed: {why}"


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / 10**6:.0f} MB"
