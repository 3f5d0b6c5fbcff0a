"""`labctl watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import is_text, show

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.watch import PodStep


@click.group()
def watch() -> None:
    """Show what happens in the cluster, as it happens."""


@watch.command()
@click.argument("name", metavar="POD")
@options.existing_lab
@click.option("-n", "--namespace", default="default", show_default=True, help="The namespace of the pod.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds until it must be ready.")
@options.output_option
def pod(name: str, lab: Lab, namespace: str, timeout: float, output: str) -> int:
    """Show the eight steps of the life of POD up to ready; start it, then create the pod in another terminal."""
    from orchestrator.verbs.watch import watch_pod

    def on_step(step: PodStep) -> None:
        if is_text(output):
            click.echo(f"{step.seconds:7.2f} s  {step.number} {step.name:<11}{step.what}  ({step.seen})")

    def on_wait() -> None:
        click.echo(f"waiting for the pod {name} in the namespace {namespace}", err=True)

    life = watch_pod(lab, name, namespace, timeout=timeout, on_step=on_step, on_wait=on_wait)
    remark = "It was there before: what it had done by then came at once." if life.existed else ""
    return show(life, output, text=lambda _: [remark] if remark else [])
