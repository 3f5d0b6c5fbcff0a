"""`labctl export`: the nodes in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.group()
def export() -> None:
    """Print the lab's nodes for other programs."""


@export.command("ssh-config")
@options.existing_lab
@options.windows_options
@options.preview_options
def ssh_config(
    lab: Lab, system: str, to: Path | None, windows_folder: str | None, dry_run: bool, output: str
) -> int:  # fmt: skip
    """Print an ssh_config: save it and use it as `ssh -F FILE m-k8s`. For Windows, write it with the lab's key."""
    from orchestrator.verbs.export import ssh_config as verb

    folder = options.windows_folder(lab, system, to, windows_folder)
    if folder is None:
        return show(verb.export_ssh_config(lab), output, text=lambda exported: exported.config.splitlines())
    if dry_run:
        files = verb.windows_files(lab, folder)
        return show_dry_run([f"write {file}" for file in (files.config, files.key, files.known_hosts)], output)
    made = verb.export_for_windows(lab, folder)
    return show(made, output, text=lambda made: [f"wrote {folder.here}", *made.steps])


@export.command()
@options.existing_lab
@options.windows_options
@options.preview_options
def superputty(
    lab: Lab, system: str, to: Path | None, windows_folder: str | None, dry_run: bool, output: str
) -> int:  # fmt: skip
    """Write NAME.xml for SuperPuTTY (File > Import Sessions) and NAME.ppk, the lab's key for PuTTY.

    Without --for windows they go to this folder, or to that of --to.
    """
    from orchestrator.verbs.export.superputty import export_superputty, files_of

    folder, here = options.windows_folder(lab, system, to, windows_folder), to or Path()
    if dry_run:
        files = files_of(lab, here, folder)
        return show_dry_run([f"write {path}" for path in (files.sessions, files.key)], output)
    imported = "in SuperPuTTY: File > Import Sessions > From File"
    return show(
        export_superputty(lab, here, folder),
        output,
        text=lambda made: [f"wrote {made.sessions} and {made.key}", *(made.steps or (imported,))],
    )
