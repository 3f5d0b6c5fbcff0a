"""`labctl render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run

if TYPE_CHECKING:
    from orchestrator.spec import Spec


@click.command()
@options.lab_spec
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("rendered"),
    show_default=True,
    help="The directory to write to.",
)
@options.preview_options
def render(spec: Spec, to: Path, dry_run: bool, output: str) -> int:
    """Write Vagrantfile, inventory and plan; start nothing."""
    from orchestrator.verbs import render as verb

    if dry_run:
        return show_dry_run(verb.preview(spec, to), output)
    return show(
        verb.render(spec, to),
        output,
        text=lambda rendered: [*(f"wrote {path}" for path in rendered.files), *rendered.notes],
    )
