"""`labctl box`: Vagrant boxes without a public registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import fields, show, show_dry_run, table
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.verbs.box import Boxes


@click.group()
def box() -> None:
    """List, import and build the boxes that virtual machines start from."""


@box.command(name="list")
@options.output_option
def list_(output: str) -> int:
    """Show every box: those in the cache, and how to get the others."""
    from orchestrator.verbs.box import list_boxes

    return show(list_boxes(), output, text=_table)


@box.command(name="import")
@click.argument("source", metavar="FILE|URL")
@click.option("--guest", default="debian-12", show_default=True, help="The guest it is a box of (labctl catalog).")
@click.option("--sha256", metavar="SUM", help="The sum that its publisher gives; a file needs one, a URL is asked for.")
@options.preview_options
@options.progress_option
def import_(source: str, guest: str, sha256: str | None, dry_run: bool, output: str, progress: str) -> int:
    """Import the box FILE, or the one at URL, after comparing its sha256."""
    from orchestrator.verbs import box as verb

    if dry_run:
        return show_dry_run(verb.preview_import(source, guest), output)
    with show_progress(progress) as emit:
        imported = verb.import_box(source, guest, sha256, ask=options.agreement(yes=False), emit=emit)
    return show(imported, output, text=fields)


@box.command()
@options.lab_option
@click.option(
    "--provider",
    metavar="NAME",
    help="Whose box to build (default: the lab's provider, else the one that this host has). It need not be here.",
)
@options.change_options
def build(lab: Path | None, provider: str | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Build the Debian 12 box for VirtualBox or libvirt from this host's Debian mirror."""
    from orchestrator.verbs import box as verb

    selected = verb.select_provider(provider, options.load_spec(lab))
    if dry_run:
        return show_dry_run(verb.preview_build(selected), output)
    with show_progress(progress) as emit:
        built = verb.build(selected, agree=options.agreement(yes), emit=emit)
    return show(built, output, text=fields)


def _table(listed: Boxes) -> list[str]:
    rows = [(r["guest"], r["provider"], r["state"], r["name"], r.get("how") or r["size"]) for r in listed.boxes]
    return table([("guest", "provider", "state", "box", ""), *rows])
