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

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@click.command(name="list")
@options.output_option
def command(output: str) -> int:
    """Show every lab on this host, of every provider and folder; `labctl destroy --id ID` removes one."""
    from orchestrator.verbs.list import list_labs

    return show(list_labs(), output, _text)


def _text(listed: Labs) -> Iterator[str]:
    rows = [("lab", "provider", "state", "size", "age", "id", "folder")]
    rows += [
        (lab.name, lab.provider, lab.state, _size(lab.size), _age(lab.since), lab.id, lab.directory)
        for lab in listed.labs
    ]
    yield from table(rows) if listed.labs else ["no lab on this host"]
    for provider, why in listed.unanswered.items():
        yield f"{provider}: its labs are not listed: {why}"


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / 10**6:.0f} MB"


def _age(since: float | None) -> str:
    """How long ago, in the largest unit of which it is at least two."""
    if since is None:
        return "-"
    seconds = time.time() - since
    unit, name = next(((unit, name) for unit, name in _UNITS if seconds >= 2 * unit), (1, "s"))
    return f"{seconds / unit:.0f} {name}"
