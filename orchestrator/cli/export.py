"""`labctl export`: the nodes in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.group()
def export() -> None:
    """Print the lab's nodes for other programs."""


@export.command("ssh-config")
@options.existing_lab
@options.output_option
def ssh_config(lab: Lab, output: str) -> int:
    """Print an ssh_config: save it and use it as `ssh -F FILE m-k8s`."""
    from orchestrator.verbs.export.ssh_config import export_ssh_config

    return show(export_ssh_config(lab), output, text=lambda exported: exported.config.splitlines())


@export.command()
@options.existing_lab
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default=True,
    help="The directory to write NAME.xml and NAME.ppk to.",
)
@options.preview_options
def superputty(lab: Lab, to: Path, dry_run: bool, output: str) -> int:
    """Write a sessions file for SuperPuTTY (File > Import Sessions) and the lab's key for PuTTY."""
    from orchestrator.verbs.export.superputty import export_superputty, files_of

    if dry_run:
        return show_dry_run([f"write {path}" for path in files_of(lab, to).as_dict().values()], output)
    imported = "in SuperPuTTY: File > Import Sessions > From File"
    return show(
        export_superputty(lab, to), output, text=lambda made: [f"wrote {made.sessions} and {made.key}; {imported}"]
    )
