"""`labctl console`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import is_text, show

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@options.node_pattern
@click.option("--detach", is_flag=True, help="Open the panes and print the command that shows them.")
@options.output_option
def console(lab: Lab, pattern: str, detach: bool, output: str) -> int:
    """Open a shell on every node in panes of one tmux window; what you type goes to all of them.

    Ctrl-b S switches that off and on, Ctrl-b and an arrow changes the pane, Ctrl-b d leaves.
    """
    from orchestrator.verbs.console import exec_console, open_console

    opened = open_console(lab, pattern)
    if sys.stdout.isatty() and not detach and is_text(output):
        exec_console(opened)
    return show(opened, output, text=lambda console: [shlex.join(console.attach)])
