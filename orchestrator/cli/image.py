"""`labctl image push`, `pull`, `list` and `remove`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run, table

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.image import Images, Pushed


@click.group()
def image() -> None:
    """Push your own images into the registry of the lab (`registry: true` in lab.yml), list, pull and remove them."""


@image.command()
@click.argument("source", metavar="FILE|IMAGE")
@click.option("--as", "name", default="", metavar="NAME", help="The name that pods give; default: the image's own.")
@options.existing_lab
@options.preview_options
def push(source: str, name: str, lab: Lab, dry_run: bool, output: str) -> int:
    """Push FILE, made by `docker save` or an OCI archive, or an IMAGE of this host's Docker."""
    from orchestrator.verbs import image as verb

    if dry_run:
        return show_dry_run(verb.preview_push(lab, source, name), output)
    return show(verb.push(lab, source, name), output, _pushed)


@image.command()
@click.argument("name", metavar="IMAGE")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@options.existing_lab
@options.output_option
def pull(name: str, file: Path, lab: Lab, output: str) -> int:
    """Write IMAGE of the registry into FILE, for `docker load`."""
    from orchestrator.verbs import image as verb

    return show(verb.pull(lab, name, file), output, lambda done: [f"{done.file}: {done.image}, {_mb(done.size)}"])


@image.command("list")
@options.existing_lab
@options.output_option
def list_(lab: Lab, output: str) -> int:
    """List the images of the registry, and what those are that stand under another's name."""
    from orchestrator.verbs import image as verb

    return show(verb.list_images(lab), output, _lines)


@image.command()
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@options.existing_lab
@options.preview_options
def remove(names: tuple[str, ...], lab: Lab, dry_run: bool, output: str) -> int:
    """Remove IMAGEs from the registry; nodes that have pulled one keep it."""
    from orchestrator.verbs import image as verb

    if dry_run:
        return show_dry_run(verb.preview_remove(lab, names), output)
    return show(verb.remove(lab, names), output, lambda done: [f"removed {name}" for name in done.removed])


def _lines(listed: Images) -> list[str]:
    if not listed.images:
        return ["the registry is empty: labctl image push FILE"]
    rows = [(one.name, _mb(one.size), one.note) for one in listed.images]
    return table([("image", "size", "what it is"), *rows])


def _pushed(done: Pushed) -> Iterator[str]:
    yield from (f"pushed {name}" for name in done.pushed)
    if done.warning:
        yield f"warning: {done.warning}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
