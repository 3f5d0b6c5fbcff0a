"""`labctl box`: Vagrant boxes without a public registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.group()
def box() -> None:
    """List, import and build the boxes that virtual machines start from."""


@box.command(name="list")
@options.output_option
def list_(output: str) -> None:
    """Show every box: what is here, and how the others are had."""
    from orchestrator.verbs import box as boxes

    rows = boxes.listed()
    if output == "json":
        options.print_json({"schema": "labctl/boxes/v1", "boxes": rows})
        return
    lines = [("guest", "provider", "state", "box", "")]
    lines += [(r["guest"], r["provider"], r["state"], r["name"], r.get("how") or r["size"]) for r in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@box.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--guest", default="debian-12", show_default=True, help="The guest it is a box of (labctl catalog).")
@click.option("--sha256", metavar="SUM", help="The sum its publisher gives; without one the box is refused.")
@options.dry_run_option
@options.output_option
def import_(file: Path, guest: str, sha256: str | None, dry_run: bool, output: str) -> int:
    """Take in the box FILE after comparing its sha256."""
    from orchestrator.verbs import box as boxes

    if dry_run:
        _print({"would": f"compare the sha256 of {file} and keep it as the box of {guest}"}, output)
        return ExitCode.OK
    _print(boxes.describe(boxes.take_in(file, guest, sha256)), output)
    return ExitCode.OK


@box.command()
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def build(yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Build the Debian 12 box for libvirt from this host's Debian mirror."""
    from orchestrator.cli import progress as views
    from orchestrator.verbs import box as boxes

    if dry_run:
        _print({"would": "; ".join(boxes.intent())}, output)
        return ExitCode.OK
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        built = boxes.build(agree=options.agreement(yes), emit=emit)
    _print(boxes.describe(built), output)
    return ExitCode.OK


def _print(described: dict[str, Any], output: str) -> None:
    if output == "json":
        options.print_json({"schema": "labctl/box/v1", **described})
        return
    for key, value in described.items():
        click.echo(f"{key:<9} {value}")
