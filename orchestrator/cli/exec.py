"""`labctl exec`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options

if TYPE_CHECKING:
    from orchestrator.lab.node_commands import NodeAnswer


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@options.lab_option
@click.option(
    "--on", "pattern", default="all", metavar="PATTERN", shell_complete=options.complete_nodes,
    help="Nodes: names, patterns such as w1*, workers, all; several with commas.",
)  # fmt: skip
@click.option("--timeout", type=float, default=600.0, show_default=True, help="Seconds that the command may take.")
@options.output_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND")
def command(lab: Path | None, pattern: str, timeout: float, output: str, words: tuple[str, ...]) -> int:
    """Run COMMAND on all nodes at once; the exit code is the worst of theirs.

    One word is a line for the node's shell ('ps aux | grep kubelet'); several are a program and its arguments.
    """
    from orchestrator.lab.node_commands import run_on_nodes
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.exec import command_line

    found = open_lab(lab)
    show = _ignore if output == "json" else _show
    answers = run_on_nodes(found, pattern, command_line(words), timeout=timeout, on_answer=show)
    if output == "json":
        options.print_json(answers.as_dict())
    return answers.worst


def _ignore(answer: NodeAnswer) -> None:
    return


def _show(answer: NodeAnswer) -> None:
    """One node's answer under its name, what it wrote to stderr on stderr."""
    failed = f"  (exit code {answer.code})" if answer.code else ""
    click.secho(f"== {answer.node}{failed}", bold=True)
    for text, to_stderr in ((answer.stdout, False), (answer.stderr, True), (answer.error, True)):
        if text:
            click.echo(text.rstrip("\n"), err=to_stderr)
