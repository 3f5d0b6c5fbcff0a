"""`labctl cp`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@options.dry_run_option
@options.output_option
@click.argument("places", nargs=-1, metavar="SOURCE... TARGET")
def cp(lab: Path | None, dry_run: bool, output: str, places: tuple[str, ...]) -> int:
    """Copy files and directories between this host and nodes, or between nodes.

    NODE:PATH is on a node; the target may be on several: labctl cp notes.txt workers:/tmp/
    """
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import cp as copying

    found = open_lab(lab)
    wanted = copying.copies(found, places)
    if dry_run:
        return options.preview([str(each) for each in wanted], output)
    copying.copy(found, wanted)
    if output == "json":
        done = [{"sources": each.sources, "target": each.target} for each in wanted]
        options.print_json({"schema": "labctl/cp/v1", "copied": done})
    return ExitCode.OK
