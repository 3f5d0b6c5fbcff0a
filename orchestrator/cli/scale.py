"""`labctl scale`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@click.option("--workers", type=int, required=True, metavar="N", help="The number of workers to have.")
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def scale(lab: Path | None, workers: int, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Add workers to the lab or take the last ones out; the others go on working."""
    from orchestrator.cli import progress as views
    from orchestrator.lab import planning
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import provision
    from orchestrator.verbs import scale as workflow

    found = open_lab(lab)
    asked = planning.load(lab, options.overrides(workers=workers))
    wanted = workflow.change(found, asked, written=planning.load(lab))
    lines = wanted.lines(workers)
    if dry_run:
        return options.preview(lines, output)
    if wanted.goes and not options.agreement(yes)("; ".join(lines) + "?"):
        raise click.UsageError("not scaled: what is on those machines is lost, which needs your agreement; add --yes")
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        done = workflow.scale(found, asked, wanted, agree=options.agreement(yes), emit=emit)
    if output == "json":
        options.print_json({**provision.document(done), "schema": "labctl/scale/v1", "workers": workers})
    else:
        from orchestrator.verify.render import render_text

        if done.report:
            click.echo(render_text(done.report))
        click.echo(f"\n{done.plan.name}: {workers} workers, {done.seconds:.0f} s")
    return ExitCode.OK if done.ok else ExitCode.VERIFY
