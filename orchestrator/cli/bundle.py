"""`labctl bundle`: bundles, from which nodes install."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options
from orchestrator.cli.output import fields, show, show_dry_run
from orchestrator.cli.progress import show_progress
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.bundle import Bundles, Verified


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_bundle_option = click.option("--bundle", "bundle_id", metavar="ID", help="Default: the newest.")


@click.group()
def bundle() -> None:
    """Make, export, import, sign, show, verify and attach bundles: all that nodes install."""


@bundle.command()
@click.option("--kubernetes", "version", default="", metavar="VERSION", help="Version or minor; default: the newest.")
@click.option(
    "--source", type=click.Choice(["community", "modules", "debian"]), help="Where from; default: compiled here."
)
@click.option("--guest", default="debian-12", show_default=True, help="The nodes' system, for --source community.")
@click.option("--runtime", type=click.Choice(["containerd", "docker"]), default="containerd", show_default=True)
@click.option(
    "--cni", type=click.Choice(["calico", "bridge_cni", "none"]), help="Pod network; default: Calico if it fits."
)
@click.option("--system", is_flag=True, help="The operating system's packages alone, for labs without Kubernetes.")
@click.option("--conformance", is_flag=True, help="The version's conformance suite, for `labctl conformance`.")
@click.option("--registry", is_flag=True, help="The program of a lab's registry, for `registry: true` in lab.yml.")
@options.accept_option
@options.change_options
def build(accept: Mapping[str, str], yes: bool, dry_run: bool, output: str, progress: str, **wanted: Any) -> int:
    """Make the bundle of a Kubernetes version, of system packages or of a conformance suite, unless the cache has it.

    Today's versions are compiled from the Go module proxy, 1.20.2 from Debian's source package; from the community
    packages and images are fetched as they are.
    """
    from orchestrator.verbs import bundle as verb

    what = verb.Wanted(**wanted)
    if dry_run:
        return show_dry_run(verb.preview_build(what), output)
    with show_progress(progress) as emit:
        built = verb.build(what, agree=options.agreement(yes), emit=emit, sums=options.confirmation(accept))
    return show(built, output, text=fields)


@bundle.command()
@click.argument("version")
@options.preview_options
@options.progress_option
def pin(version: str, dry_run: bool, output: str, progress: str) -> int:
    """Pin Kubernetes VERSION: write its go.mod, go.sum and row of the catalog, for those who maintain labctl."""
    from orchestrator.verbs import bundle_pin as verb

    if dry_run:
        return show_dry_run(verb.preview_pin(version), output)
    with show_progress(progress) as emit:
        pinned = verb.pin(version, emit)
    return show(pinned, output, text=fields)


@bundle.command(name="import")
@click.argument("source")
@click.option("--key", type=_FILE, help="Public SSH key that has to have signed it.")
@options.preview_options
@options.progress_option
def import_(source: str, key: Path | None, dry_run: bool, output: str, progress: str) -> int:
    """Import the bundle in SOURCE: an exported file, its URL, or a directory; every file is checked."""
    from orchestrator.verbs import bundle as verb

    if dry_run:
        return show_dry_run(verb.preview_import(source), output)
    with show_progress(progress) as emit:
        imported = verb.import_bundle(source, key, emit)
    return show(imported, output, text=fields)


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_bundle_option
@options.preview_options
@options.progress_option
def export(file: Path, bundle_id: str | None, dry_run: bool, output: str, progress: str) -> int:
    """Write a bundle into FILE, for hosts that reach nothing: `labctl bundle import FILE` there."""
    from orchestrator.verbs import bundle as verb

    if dry_run:
        return show_dry_run(verb.preview_export(bundle_id, file), output)
    with show_progress(progress) as emit:
        exported = verb.export(bundle_id, file, emit)
    return show(exported, output, text=fields)


@bundle.command()
@_bundle_option
@click.option("--key", type=_FILE, required=True, help="Private SSH key.")
@options.preview_options
def sign(bundle_id: str | None, key: Path, dry_run: bool, output: str) -> int:
    """Sign a bundle, so that `bundle import --key` and `bundle verify --key` can ask for it."""
    from orchestrator.verbs import bundle as verb

    if dry_run:
        return show_dry_run(verb.preview_sign(bundle_id, key), output)
    return show(verb.sign(bundle_id, key), output, text=fields)


@bundle.command()
@click.argument("name", metavar="VERSION|ID")
@options.existing_lab
@options.preview_options
@options.progress_option
def attach(name: str, lab: Lab, dry_run: bool, output: str, progress: str) -> int:
    """Give the nodes of a lab the packages and images of another version, beside those they have.

    Nothing moves by itself: for an upgrade by hand, and for drills that need two versions.
    """
    from orchestrator.verbs import bundle_attach as verb

    if dry_run:
        return show_dry_run(verb.preview_attach(lab, name), output)
    with show_progress(progress) as emit:
        attached = verb.attach(lab, name, emit)
    return show(attached, output, lambda _: [f"{attached.lab}: {attached.bundle} is attached"])


@bundle.command()
@options.existing_lab
@options.preview_options
@options.progress_option
def detach(lab: Lab, dry_run: bool, output: str, progress: str) -> int:
    """Take the second bundle off the nodes of a lab; what was installed from it stays."""
    from orchestrator.verbs import bundle_attach as verb

    if dry_run:
        return show_dry_run(verb.preview_detach(lab), output)
    with show_progress(progress) as emit:
        detached = verb.detach(lab, emit)
    return show(detached, output, lambda _: [f"{detached.lab}: {detached.bundle} is detached"])


@bundle.command()
@options.output_option
def info(output: str) -> int:
    """Show the bundles of the cache: version, images, size."""
    from orchestrator.verbs.bundle import list_bundles

    return show(list_bundles(), output, text=_lines)


@bundle.command()
@click.argument("bundle_id", required=False)
@click.option("--key", type=_FILE, help="Public SSH key that has to have signed it.")
@options.output_option
def verify(bundle_id: str | None, key: Path | None, output: str) -> int:
    """Compare every file of a bundle (default: of all) with its manifest."""
    from orchestrator.verbs import bundle as verb

    verified = verb.verify(bundle_id, key)
    return show(verified, output, text=_problems, exit_code=ExitCode.HOST if verified.problems else ExitCode.OK)


def _lines(listed: Bundles) -> Iterator[str]:
    for summary in listed.bundles:
        yield from fields(summary)
    if not listed.bundles:
        yield "no bundle in the cache; labctl bundle build creates one"


def _problems(verified: Verified) -> list[str]:
    return [str(problem) for problem in verified.problems] or ["every file matches its manifest"]
