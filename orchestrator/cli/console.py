"""`labctl console`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from orchestrator.cli import options


@click.command()
@options.lab_option
@click.option(
    "--on", "pattern", default="all", metavar="PATTERN", shell_complete=options.complete_nodes,
    help="Nodes: names, patterns such as w1*, workers, all.",
)  # fmt: skip
@click.option("--detach", is_flag=True, help="Make the panes and print the command that shows them.")
@options.output_option
def console(lab: Path | None, pattern: str, detach: bool, output: str) -> None:
    """Open a shell on every node in panes of one tmux window; what you type goes to all of them.

    Ctrl-b S switches that off and on, Ctrl-b and an arrow changes the pane, Ctrl-b d leaves.
    """
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import console as workflow

    found = open_lab(lab)
    argv = workflow.open_panes(found, pattern)
    if output == "json":
        options.print_json({"schema": "labctl/console/v1", "attach": argv})
    elif detach or not sys.stdout.isatty():
        click.echo(shlex.join(argv))
    else:
        workflow.become(argv)
