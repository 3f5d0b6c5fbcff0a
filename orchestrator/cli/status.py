"""`labctl status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, table

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.status import StatusResult


@click.command()
@options.existing_lab
@options.output_option
def status(lab: Lab, output: str) -> int:
    """Show machines, nodes, versions, days left on certificates, and what changed since the last verify."""
    from orchestrator.verbs import status as verb

    return show(verb.status(lab), output, _text)


def _text(status: StatusResult) -> Iterator[str]:
    yield f"{status.name}: {status.provider}, {status.kubernetes or 'no Kubernetes'}"
    rows = [("machine", "role", "address", "state", "ssh", "node", "version")]
    rows += [(m.name, m.role, m.address, m.state, m.ssh, m.node, m.version) for m in status.machines]
    yield from table(rows)
    yield from status.lines()
