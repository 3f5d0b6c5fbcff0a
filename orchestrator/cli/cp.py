"""`labctl cp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@options.preview_options
@click.argument("places", nargs=-1, metavar="SOURCE... TARGET")
def cp(lab: Lab, dry_run: bool, output: str, places: tuple[str, ...]) -> int:
    """Copy files and directories between this host and nodes, or between nodes.

    NODE:PATH is on a node; the target may be on several: labctl cp notes.txt workers:/tmp/
    """
    from orchestrator.verbs.cp import copy_files, plan_copies

    if dry_run:
        return show_dry_run([str(copy) for copy in plan_copies(lab, places)], output)
    return show(copy_files(lab, places), output, text=lambda copied: ())
