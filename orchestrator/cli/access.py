"""`labctl ssh` and `kubectl`: working on a lab."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options

_PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=_PASS_THROUGH)
@options.lab_option
@click.argument("node", shell_complete=options.complete_nodes)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(lab: Path | None, node: str, command: tuple[str, ...]) -> None:
    """Open a shell on NODE, or run COMMAND there and exit with its code."""
    from orchestrator.lab.node_access import exec_ssh
    from orchestrator.lab.state import open_lab

    exec_ssh(open_lab(lab), node, command)


@click.command(context_settings=_PASS_THROUGH)
@options.lab_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(lab: Path | None, arguments: tuple[str, ...]) -> None:
    """Run kubectl on the lab's cluster: labctl kubectl -- get nodes."""
    from orchestrator.lab.kubectl import exec_kubectl
    from orchestrator.lab.state import open_lab

    exec_kubectl(open_lab(lab), arguments)
