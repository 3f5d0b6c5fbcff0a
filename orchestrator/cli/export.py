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
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import cp as copying

    found = open_lab(lab)
    text = copying.ssh_config(found)
    if output == "json":
        names = [node.name for node in found.plan.nodes]
        options.print_json({"schema": "labctl/ssh-config/v1", "hosts": names, "config": text})
    else:
        click.echo(text, nl=False)


@export.command()
@options.lab_option
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), default=Path(), show_default=True,
    help="The directory to write NAME.xml and NAME.ppk to.",
)  # fmt: skip
@options.dry_run_option
@options.output_option
def superputty(lab: Path | None, to: Path, dry_run: bool, output: str) -> int:
    """Write a sessions file for SuperPuTTY (File > Import Sessions) and the lab's key for PuTTY."""
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.export import superputty as workflow

    found = open_lab(lab)
    if dry_run:
        return options.preview([f"write {to / found.plan.name}.xml and .ppk"], output)
    made = workflow.export(found, to)
    if output == "json":
        options.print_json({"schema": "labctl/superputty/v1", "sessions": str(made.sessions), "key": str(made.key)})
    else:
        click.echo(f"wrote {made.sessions} and {made.key}; in SuperPuTTY: File > Import Sessions > From File")
    return 0
