"""`labctl kubeconfig`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.lab.kubeconfigs import Merged


@click.command()
@options.lab_option
@click.option("--merge", is_flag=True, help="Put the lab into ~/.kube/config as a context named after it.")
@click.option("--unmerge", is_flag=True, help="Take it out again; destroy does so by itself.")
@click.option("--into", type=click.Path(path_type=Path, dir_okay=False), help="Another file than ~/.kube/config.")
@click.option("--context", default="", metavar="NAME", help="Another name than the lab's.")
@options.dry_run_option
@options.output_option
def kubeconfig(
    lab: Path | None, merge: bool, unmerge: bool, into: Path | None, context: str, dry_run: bool, output: str
) -> int:
    """Print the path of the lab's kubeconfig, or merge it into your own (a backup is kept)."""
    from orchestrator.lab import kubeconfigs
    from orchestrator.lab.kubectl import kubeconfig_path
    from orchestrator.lab.state import open_lab

    if merge and unmerge:
        raise click.UsageError("either --merge or --unmerge")
    if not (merge or unmerge) and (into or context):
        raise click.UsageError("--into and --context go with --merge or --unmerge")
    found = open_lab(lab)
    file = into or kubeconfigs.user_file()
    if not (merge or unmerge):
        path = kubeconfig_path(found)
        if output == "json":
            options.print_json({"schema": "labctl/kubeconfig/v1", "path": str(path)})
        else:
            click.echo(str(path))
        return ExitCode.OK
    if dry_run:
        does = "put the context" if merge else "remove the context"
        return options.preview([f"{does} {context or found.plan.name} {'into' if merge else 'from'} {file}"], output)
    done = kubeconfigs.merge(found, file, context=context) if merge else kubeconfigs.leave(found, file)
    _show(done, file, merge, output)
    return ExitCode.OK


def _show(done: Merged | None, file: Path, merge: bool, output: str) -> None:
    if output == "json":
        options.print_json(
            {
                "schema": "labctl/kubeconfig/v1",
                "path": str(file),
                "context": done.context if done else None,
                "changed": bool(done and done.changed),
                "backup": str(done.backup) if done and done.backup else None,
            }
        )
    elif done is None:
        click.echo(f"nothing of this lab is in {file}")
    else:
        kept = f" (what was there before: {done.backup})" if done.backup else ""
        what = f"{done.context} is the current context in" if merge else f"removed {done.context} from"
        click.echo(f"{what} {file}{kept}")
