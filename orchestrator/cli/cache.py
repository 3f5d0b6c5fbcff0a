"""`labctl cache`: what labctl keeps on this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.verbs.cache import Cache


@click.group()
def cache() -> None:
    """Show and prune what labctl keeps between labs: bundles, images, programs."""


@cache.command(name="list")
@options.output_option
def list_(output: str) -> int:
    """Show what the cache holds, with sizes and the labs that use it."""
    from orchestrator.verbs.cache import contents

    return show(contents(), output, text=_lines)


@cache.command()
@click.option("--all", "everything", is_flag=True, help="Also what only saves time, such as compiled programs.")
@options.change_options
def prune(everything: bool, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Remove what no lab uses and no build needs; nothing of it is lost for good, but an imported bundle is."""
    from orchestrator.verbs import cache as verb

    found = verb.prunable(everything=everything)
    if dry_run or not found.entries:
        return show_dry_run([f"remove {entry.path} ({_mb(entry.size)})" for entry in found.entries], output)
    refusal = f"{len(found.entries)} things would be removed, {_mb(found.size)}"
    options.require_agreement(yes, f"Remove {len(found.entries)} things, {_mb(found.size)}?", refusal)
    with show_progress(progress) as emit:
        removed = verb.prune(emit, everything=everything)
    return show(removed, output, text=lambda done: [f"removed {_mb(done.size)}"])


def _lines(held: Cache) -> Iterator[str]:
    for entry in held.entries:
        used = f"; used by {', '.join(entry.labs)}" if entry.labs else ""
        yield f"{_mb(entry.size):>10}  {entry.path.relative_to(held.directory)}  {entry.what}{used}"
    yield f"{_mb(held.size):>10}  in {held.directory}"


def _mb(size: int) -> str:
    return f"{size / 10**6:,.0f} MB"
