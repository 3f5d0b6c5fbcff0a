"""`labctl upgrade`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.cli.output import is_text, show_dry_run, show_verified
from orchestrator.cli.progress import show_progress
from orchestrator.errors import ExitCode


@click.command()
@options.lab_option
@click.option("--kubernetes", required=True, metavar="VERSION", help="The version to have, such as 1.21.14 or 1.21.")
@options.change_options
def upgrade(lab: Path | None, kubernetes: str, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Upgrade the cluster to the next Kubernetes version: control plane first, then one worker after the other."""
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import upgrade as verb

    opened = open_lab(lab)
    name = opened.plan.name
    version = verb.target_version(opened, kubernetes)
    if not version and is_text(output):
        click.echo(f"nothing to do: {name} has Kubernetes {kubernetes.removeprefix('v')}")
        return ExitCode.OK
    if not version:
        return show_dry_run([], output)
    spec = options.load_spec(lab, kubernetes=version)
    plan = verb.plan_upgrade(opened, spec, version, written=options.load_spec(lab))
    if dry_run:
        return show_dry_run(verb.steps(opened.plan, plan), output)
    question = f"upgrade {name} to {version}, one node at a time?"
    options.require_agreement(yes, question, "not upgraded: only a snapshot brings the old version back")
    with show_progress(progress) as emit:
        done = verb.upgrade(opened, plan, emit)
    return show_verified(done, output, lambda _: [f"{name}: Kubernetes {version}, {done.seconds:.0f} s"])
