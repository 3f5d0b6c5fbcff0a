"""`labctl status`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options


@click.command()
@options.lab_option
@options.output_option
def status(lab: Path | None, output: str) -> None:
    """Show machines, nodes, versions, days left on certificates, and what changed since the last verify."""
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.status import status_of

    now = status_of(open_lab(lab))
    if output == "json":
        options.print_json(now.as_dict())
        return
    click.echo(f"{now.name}: {now.provider}, {now.kubernetes or 'no Kubernetes'}")
    rows = [("machine", "role", "address", "state", "ssh", "node", "version")]
    rows += [(m.name, m.role, m.address, m.state, m.ssh, m.node, m.version) for m in now.machines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo("\n".join(now.lines()))
