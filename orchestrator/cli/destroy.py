"""`labctl destroy`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.cli.output import show
from orchestrator.cli.progress import show_progress


@click.command()
@options.lab_option
@click.option("--id", "uuid", metavar="UUID", help="Destroy the lab with this id, also one of another directory.")
@options.change_options
def destroy(lab: Path | None, uuid: str | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Remove the lab: its machines, networks, volumes and state. Nothing of other labs is touched."""
    from orchestrator.verbs import destroy as verb

    targets = verb.find_targets(lab, uuid)
    planned = verb.preview(targets)
    if not targets:
        return show(planned, output, lambda _: ["nothing to destroy"])
    if dry_run:
        return show(planned, output, lambda _: ["would remove:", *(f"  {line}" for line in planned.would)])
    options.require_agreement(yes, f"remove {'; '.join(planned.would)}?", "not removed: the whole lab is lost")
    with show_progress(progress) as emit:
        done = verb.destroy(targets, emit)
    return show(done, output, lambda _: [f"removed {line}" for line in done.removed])
