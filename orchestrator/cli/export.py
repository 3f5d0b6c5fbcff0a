"""`labctl export`: the nodes in the formats of other programs."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options


@click.group()
def export() -> None:
    """Print the lab's nodes for other programs."""


@export.command("ssh-config")
@options.lab_option
@options.output_option
def ssh_config(lab: Path | None, output: str) -> None:
    """Print an ssh_config: save it and use it as `ssh -F FILE m-k8s`."""
    from orchestrator.workflows import copying
    from orchestrator.workflows import lab as labs

    found = labs.open_lab(lab)
    text = copying.ssh_config(found)
    if output == "json":
        names = [node.name for node in found.plan.nodes]
        options.print_json({"schema": "labctl/ssh-config/v1", "hosts": names, "config": text})
    else:
        click.echo(text, nl=False)
