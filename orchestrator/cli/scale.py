"""`labctl scale`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.cli.output import show_dry_run, show_verified
from orchestrator.cli.progress import show_progress


@click.command()
@options.lab_option
@click.option("--workers", type=int, required=True, metavar="N", help="The number of workers to have.")
@options.change_options
def scale(lab: Path | None, workers: int, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Add workers to the lab, or remove the last ones; the others keep running."""
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import scale as verb

    opened = open_lab(lab)
    spec = options.load_spec(lab, workers=workers)
    scaling = verb.plan_scaling(opened, spec, written=options.load_spec(lab))
    if dry_run:
        return show_dry_run(scaling.steps(), output)
    if scaling.removed:
        question = "; ".join(scaling.steps()) + "?"
        options.require_agreement(yes, question, "not scaled: what is on those machines is lost")
    with show_progress(progress) as emit:
        done = verb.scale(opened, spec, scaling, agree=options.agreement(yes), emit=emit)
    return show_verified(done, output, lambda _: [f"{done.lab.plan.name}: {workers} workers, {done.seconds:.0f} s"])
