"""`labctl start`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show_dry_run, show_verified
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@options.preview_options
@options.progress_option
def start(lab: Lab, dry_run: bool, output: str, progress: str) -> int:
    """Start the machines, repair what the pause broke, and verify the lab."""
    from orchestrator.verbs import start as verb

    if dry_run:
        return show_dry_run(verb.preview(lab), output)
    with show_progress(progress) as emit:
        done = verb.start(lab, emit)
    text = f"{lab.plan.name}: {len(lab.plan.nodes)} machines, {done.seconds:.0f} s"
    return show_verified(done, output, lambda _: [text])
