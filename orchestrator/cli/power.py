"""`labctl halt` and `labctl start`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@options.dry_run_option
@options.output_option
@options.progress_option
def halt(lab: Path | None, dry_run: bool, output: str, progress: str) -> int:
    """Stop the machines, keeping them and all that is in them."""
    from orchestrator.cli import progress as views
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import power

    found = open_lab(lab)
    if dry_run:
        return options.preview([f"stop {name}" for name in power.running(found)], output)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        names = power.halt(found, emit)
    if output == "json":
        options.print_json({"schema": "labctl/halt/v1", "lab": found.plan.name, "stopped": names})
    else:
        click.echo(f"stopped {', '.join(names)}" if names else f"no machine of {found.plan.name} was running")
    return ExitCode.OK


@click.command()
@options.lab_option
@options.dry_run_option
@options.output_option
@options.progress_option
def start(lab: Path | None, dry_run: bool, output: str, progress: str) -> int:
    """Start the machines, heal what the pause broke, and return when the lab is verified."""
    from orchestrator.cli import progress as views
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import power
    from orchestrator.verify.render import render_text

    found = open_lab(lab)
    if dry_run:
        stopped = [f"start {name}" for name in power.stopped(found)]
        return options.preview([*stopped, "apply the roles", "verify the lab"], output)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        done = power.start(found, emit)
    if output == "json":
        options.print_json(done.as_dict())
    else:
        click.echo(render_text(done.report))
        click.echo(f"\n{found.plan.name}: {len(found.plan.nodes)} machines, {done.seconds:.0f} s")
    return ExitCode.OK if done.report.ok else ExitCode.VERIFY
