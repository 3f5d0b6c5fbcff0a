"""`labctl upgrade`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@click.option("--kubernetes", required=True, metavar="VERSION", help="The version to have, such as 1.21.14 or 1.21.")
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def upgrade(lab: Path | None, kubernetes: str, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Bring the cluster to the next Kubernetes version: control plane first, then one worker after the other."""
    from orchestrator.cli import progress as views
    from orchestrator.lab import planning
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import provision
    from orchestrator.verbs import upgrade as workflow

    found = open_lab(lab)
    version = workflow.check(found, kubernetes)
    if not version:
        return _nothing(f"nothing to do: {found.plan.name} has Kubernetes {kubernetes.removeprefix('v')}", output)
    asked = planning.load(lab, options.overrides(kubernetes=version))
    new = workflow.decide(found, asked, version, written=planning.load(lab))
    lines = workflow.steps(found.plan, new)
    if dry_run:
        return options.preview(lines, output)
    if not options.agreement(yes)(f"upgrade {found.plan.name} to {version}, one node at a time?"):
        raise click.UsageError(
            "not upgraded: there is no way back but a snapshot, so it needs your agreement; add --yes"
        )
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        done = workflow.upgrade(found, new, emit)
    if output == "json":
        options.print_json({**provision.document(done), "schema": "labctl/upgrade/v1"})
    else:
        from orchestrator.verify.render import render_text

        if done.report:
            click.echo(render_text(done.report))
        click.echo(f"\n{done.plan.name}: Kubernetes {version}, {done.seconds:.0f} s")
    return ExitCode.OK if done.ok else ExitCode.VERIFY


def _nothing(words: str, output: str) -> int:
    if output == "json":
        options.print_json({"schema": "labctl/dry-run/v1", "would": []})
    else:
        click.echo(words)
    return ExitCode.OK
