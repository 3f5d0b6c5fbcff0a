"""`labctl provision`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.verbs.provision import Provisioned


def _phases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from orchestrator.lab.phases import PHASES

    return [name for name in PHASES if name.startswith(incomplete)]


@click.command()
@options.lab_option
@options.spec_options
@click.option(
    "--from", "first", default="machines", metavar="PHASE", shell_complete=_phases, help="Begin with this phase."
)
@click.option(
    "--until", "last", default="verify", metavar="PHASE", shell_complete=_phases, help="Stop after this phase."
)
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def provision(
    lab: Path | None,
    provider: str | None,
    workers: int | None,
    kubernetes: str | None,
    profile: str | None,
    first: str,
    last: str,
    yes: bool,
    dry_run: bool,
    output: str,
    progress: str,
) -> int:
    """Build the lab, or bring it back to what lab.yml says, and prove it.

    The phases are machines, prepare, runtime, control_plane, workers, network, kubeconfig and verify.
    """
    from orchestrator.cli import progress as views
    from orchestrator.lab import planning
    from orchestrator.lab.phases import Span
    from orchestrator.verbs import provision as workflow

    span = Span(first, last)
    spec = planning.load(
        lab, options.overrides(provider=provider, workers=workers, kubernetes=kubernetes, profile=profile)
    )
    if dry_run:
        return _preview(workflow.preview(spec, span), output)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        done = workflow.provision(spec, agree=options.agreement(yes), emit=emit, span=span)
    if output == "json":
        options.print_json(workflow.document(done))
    else:
        _print(done)
    return ExitCode.OK if done.ok else ExitCode.VERIFY


def _preview(intent: list[str], output: str) -> int:
    if output == "json":
        options.print_json({"schema": "labctl/dry-run/v1", "would": intent})
    else:
        click.echo("\n".join(["would:", *(f"  {line}" for line in intent), "Nothing was changed."]))
    return ExitCode.OK


def _print(done: Provisioned) -> None:
    from orchestrator.verify import render_text

    if done.report:
        click.echo(render_text(done.report, terminal=sys.stdout.isatty()))
    plan = done.plan
    minutes, seconds = divmod(int(done.seconds), 60)
    changed = sum(done.changed.values())
    click.echo(f"\n{plan.name}: {len(plan.nodes)} machines, {changed} tasks changed, {minutes} min {seconds} s")
    if done.span.rest:
        click.echo(f"stopped after {done.span.last}, as asked; still to come: {', '.join(done.span.rest)}")
        click.echo("go on: labctl provision")
        return
    if not done.ok:
        return
    click.echo("next:")
    if plan.kubernetes is not None:
        click.echo("  ./labctl kubectl -- get nodes -o wide")
        click.echo('  export KUBECONFIG="$(./labctl kubeconfig)"')
    click.echo(f"  ./labctl ssh {plan.nodes[-1].name}")
