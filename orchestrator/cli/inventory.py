"""`labctl inventory`: what inventory/lab.py prints."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli import options


@click.command()
@options.lab_option
@click.option("--list", "whole", is_flag=True, help="The whole inventory (the default).")
@click.option("--host", metavar="NODE", help="The variables of one node.")
def inventory(lab: Path | None, whole: bool, host: str | None) -> None:
    """Print the lab's Ansible inventory as JSON."""
    from orchestrator.lab.inventory import host_variables, inventory_document
    from orchestrator.lab.observed_lab import observe_lab
    from orchestrator.lab.state import open_lab

    document = inventory_document(observe_lab(open_lab(lab)))
    if host is not None and not whole:
        document = host_variables(document, host)
    click.echo(json.dumps(document, indent=2))
