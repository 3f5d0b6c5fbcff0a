"""`labctl kubectl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command(context_settings=options.PASS_THROUGH)
@options.existing_lab
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(lab: Lab, arguments: tuple[str, ...]) -> None:
    """Run kubectl on the lab's cluster: labctl kubectl -- get nodes."""
    from orchestrator.verbs.kubectl import exec_kubectl

    exec_kubectl(lab, arguments)
