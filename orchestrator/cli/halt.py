"""`labctl halt`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@options.preview_options
@options.progress_option
def halt(lab: Lab, dry_run: bool, output: str, progress: str) -> int:
    """Stop the machines and keep them with everything on them."""
    from orchestrator.verbs import halt as verb

    if dry_run:
        return show_dry_run(verb.preview(lab), output)
    with show_progress(progress) as emit:
        done = verb.halt(lab, emit)
    text = f"stopped {', '.join(done.stopped)}" if done.stopped else f"no machine of {done.lab} was running"
    return show(done, output, lambda _: [text])
