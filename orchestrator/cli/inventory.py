"""`labctl inventory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import print_json

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@click.option("--list", "whole", is_flag=True, help="The whole inventory (the default).")
@click.option("--host", metavar="NODE", help="The variables of one node.")
def inventory(lab: Lab, whole: bool, host: str | None) -> None:
    """Print the lab's Ansible inventory as JSON."""
    from orchestrator.verbs import inventory as verb

    print_json(verb.inventory(lab, None if whole else host))
