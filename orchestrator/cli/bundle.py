"""`labctl bundle`: the offline bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import fields, show, show_dry_run
from orchestrator.cli.progress import show_progress
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.verbs.bundle import Bundles, Verified


@click.group()
def bundle() -> None:
    """Build, import, show and verify the offline bundle."""


@bundle.command()
@click.option("--kubernetes", "version", default="", metavar="VERSION", help="Version or minor; default: the newest.")
@click.option("--system", is_flag=True, help="The operating system's packages alone, for labs without Kubernetes.")
@options.change_options
def build(version: str, system: bool, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Build the bundle of a Kubernetes version, or of system packages, unless the cache has it.

    Today's versions are compiled from the Go module proxy, 1.20.2 from Debian's source package.
    """
    from orchestrator.verbs import bundle as verb

    if dry_run:
        return show_dry_run(verb.preview_build(version, system), output)
    with show_progress(progress) as emit:
        built = verb.build(version, agree=options.agreement(yes), emit=emit, system=system)
    return show(built, output, text=fields)


@bundle.command()
@click.argument("version")
@options.preview_options
@options.progress_option
def pin(version: str, dry_run: bool, output: str, progress: str) -> int:
    """Pin Kubernetes VERSION: write its go.mod, go.sum and row of the catalog, for those who maintain labctl."""
    from orchestrator.verbs import bundle as verb

    if dry_run:
        return show_dry_run(verb.preview_pin(version), output)
    with show_progress(progress) as emit:
        pinned = verb.pin(version, emit)
    return show(pinned, output, text=fields)


@bundle.command(name="import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@options.preview_options
@options.progress_option
def import_(source: Path, dry_run: bool, output: str, progress: str) -> int:
    """Import the bundle in SOURCE, a directory or a tar archive with a manifest, after checking every file."""
    from orchestrator.verbs import bundle as verb

    if dry_run:
        return show_dry_run(verb.preview_import(source), output)
    with show_progress(progress) as emit:
        imported = verb.import_bundle(source, emit)
    return show(imported, output, text=fields)


@bundle.command()
@options.output_option
def info(output: str) -> int:
    """Show the bundles of the cache: version, images, size."""
    from orchestrator.verbs.bundle import list_bundles

    return show(list_bundles(), output, text=_lines)


@bundle.command()
@click.argument("bundle_id", required=False)
@options.output_option
def verify(bundle_id: str | None, output: str) -> int:
    """Compare every file of a bundle (default: of all) with its manifest."""
    from orchestrator.verbs import bundle as verb

    verified = verb.verify(bundle_id)
    return show(verified, output, text=_problems, exit_code=ExitCode.HOST if verified.problems else ExitCode.OK)


def _lines(listed: Bundles) -> Iterator[str]:
    for summary in listed.bundles:
        yield from fields(summary)
    if not listed.bundles:
        yield "no bundle in the cache; labctl bundle build creates one"


def _problems(verified: Verified) -> list[str]:
    return [str(problem) for problem in verified.problems] or ["every file matches its manifest"]
