"""`labctl ssh`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command(context_settings=options.PASS_THROUGH)
@options.existing_lab
@click.argument("node", shell_complete=options.complete_nodes)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(lab: Lab, node: str, command: tuple[str, ...]) -> None:
    """Open a shell on NODE, or run COMMAND there and exit with its code."""
    from orchestrator.verbs.ssh import exec_ssh

    exec_ssh(lab, node, command)
