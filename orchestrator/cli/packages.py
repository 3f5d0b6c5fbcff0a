"""`labctl packages install`, `serve` and `list`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run, table
from orchestrator.cli.progress import show_progress
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.packages import Installed


@click.group()
def packages() -> None:
    """Install packages of the lab's bundle on its nodes, also when the provision is long over."""


@packages.command()
@click.argument("names", nargs=-1, required=True, metavar="PACKAGE...")
@options.existing_lab
@options.node_pattern
@options.preview_options
@options.progress_option
def install(names: tuple[str, ...], lab: Lab, pattern: str, dry_run: bool, output: str, progress: str) -> int:
    """Install PACKAGEs with all they need; the bundle is served to the nodes as long as that takes."""
    from orchestrator.verbs import packages as verb

    if dry_run:
        return show_dry_run(verb.preview(lab, pattern, names), output)
    with show_progress(progress) as emit:
        installed = verb.install(lab, pattern, names, emit)
    return show(installed, output, _results, ExitCode.OK if installed.ok else ExitCode.CONVERGE)


@packages.command()
@options.existing_lab
@options.output_option
@options.progress_option
def serve(lab: Lab, output: str, progress: str) -> int:
    """Serve the bundle to the nodes until Ctrl-C, for apt-get and dnf that are typed there."""
    from orchestrator.verbs import packages as verb

    with show_progress(progress) as emit:
        served = verb.serve(lab, emit)
    return show(served, output, lambda _: [f"{served.requests} files fetched, {served.bytes_sent / 1e6:.0f} MB"])


@packages.command("list")
@options.existing_lab
@options.output_option
def list_(lab: Lab, output: str) -> int:
    """List the packages of the lab's bundle with their versions."""
    from orchestrator.verbs import packages as verb

    return show(verb.available(lab), output, lambda found: table([("package", "version"), *found.packages.items()]))


def _results(installed: Installed) -> Iterator[str]:
    """The installed versions by node, or the error of its package manager."""
    for result in installed.nodes:
        said = (result.error or result.stderr).strip().splitlines() or [f"exit code {result.code}"]
        error = next((line for line in said if line.startswith(("E:", "Error"))), said[-1])
        lines = result.stdout.splitlines() if result.code == 0 else [f"failed: {error}"]
        yield from (f"{result.node}  {line}" for line in lines)
