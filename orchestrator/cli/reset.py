"""`labctl reset`."""

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
@options.change_options
def reset(lab: Lab, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Remove the cluster from the machines, which keep their packages and images; provision creates a new one."""
    from orchestrator.verbs import reset as verb

    if dry_run:
        return show_dry_run(verb.preview(lab), output)
    question = f"remove the cluster of {lab.plan.name} and all that is in it?"
    options.require_agreement(yes, question, "not reset: what is in the cluster is lost")
    with show_progress(progress) as emit:
        done = verb.reset(lab, emit)
    return show(done, output, lambda _: [f"{done.lab} has no cluster any more; create a new one: labctl provision"])
