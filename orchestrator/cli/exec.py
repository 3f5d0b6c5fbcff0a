"""`labctl exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import is_text, show

if TYPE_CHECKING:
    from orchestrator.lab.node_commands import NodeResult
    from orchestrator.lab.state import Lab


@click.command("exec", context_settings=options.PASS_THROUGH)
@options.existing_lab
@options.node_pattern
@click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds that the command may take.")
@options.output_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND")
def command(lab: Lab, pattern: str, timeout: float, output: str, words: tuple[str, ...]) -> int:
    """Run COMMAND on all nodes at once; the exit code is the worst of theirs.

    One word is a line for the node's shell ('ps aux | grep kubelet'); several are a program and its arguments.
    """
    from orchestrator.verbs.exec import run_command

    results = run_command(lab, pattern, words, timeout=timeout, on_result=_print if is_text(output) else _ignore)
    return show(results, output, text=lambda results: (), exit_code=results.worst)


def _ignore(result: NodeResult) -> None:
    """Leave the results to the document."""


def _print(result: NodeResult) -> None:
    """Print a node's result under its name; what the command wrote to stderr goes to stderr."""
    failed = f"  (exit code {result.code})" if result.code else ""
    click.secho(f"== {result.node}{failed}", bold=True)
    for text, to_stderr in ((result.stdout, False), (result.stderr, True), (result.error, True)):
        if text:
            click.echo(text.rstrip("\n"), err=to_stderr)
