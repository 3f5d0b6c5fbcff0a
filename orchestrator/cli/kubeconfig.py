"""`labctl kubeconfig`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run

if TYPE_CHECKING:
    from orchestrator.lab.kubeconfigs import ContextChange
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@click.option("--merge", is_flag=True, help="Add the lab to ~/.kube/config as a context of its name.")
@click.option("--unmerge", is_flag=True, help="Remove it again; destroy does so by itself.")
@click.option("--into", type=click.Path(path_type=Path, dir_okay=False), help="Another file than ~/.kube/config.")
@click.option("--context", default="", metavar="NAME", help="Another name than the lab's.")
@options.windows_options
@options.preview_options
def kubeconfig(
    lab: Lab, merge: bool, unmerge: bool, into: Path | None, context: str, system: str, to: Path | None,
    windows_folder: str | None, dry_run: bool, output: str,
) -> int:  # fmt: skip
    """Print the path of the lab's kubeconfig, or merge it into your own (a backup is kept)."""
    from orchestrator.verbs import kubeconfig as verb

    if merge and unmerge:
        raise click.UsageError("either --merge or --unmerge")
    folder = options.windows_folder(lab, system, to, windows_folder)
    if folder and not (merge or unmerge):
        if dry_run:
            return show_dry_run([f"write {verb.windows_file(lab, folder).path}"], output)
        made = verb.write_for_windows(lab, folder)
        return show(made, output, text=lambda made: [f"wrote {made.path}", *made.steps])
    if folder or to:
        raise click.UsageError("--to goes with --for windows" if to else "either --for windows or --merge, --unmerge")
    if not (merge or unmerge):
        if into or context:
            raise click.UsageError("--into and --context go with --merge or --unmerge")
        return show(verb.locate(lab), output, text=lambda located: [str(located.path)])
    if dry_run:
        return show_dry_run(verb.preview(lab, into, context, merge=merge), output)
    if merge:
        return show(verb.merge(lab, into, context), output, text=_merged)
    return show(verb.unmerge(lab, into), output, text=_unmerged)


def _merged(change: ContextChange) -> Iterator[str]:
    backup = f" (backup: {change.backup})" if change.backup else ""
    yield f"{change.context} is the current context in {change.path}{backup}"


def _unmerged(change: ContextChange) -> Iterator[str]:
    if change.context:
        yield f"removed {change.context} from {change.path}"
    else:
        yield f"nothing of this lab is in {change.path}"
