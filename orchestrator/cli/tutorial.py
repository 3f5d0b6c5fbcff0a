"""`labctl tutorial`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import is_text, show
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.verbs.tutorial import Tutorial, TutorialStep


@click.command()
@click.option("--lang", type=click.Choice(["en", "ko"]), help="Language; the default is that of the locale.")
@click.option("--yes", is_flag=True, help="Run every step without waiting for Enter.")
@options.preview_options
def tutorial(lang: str | None, yes: bool, dry_run: bool, output: str) -> int:
    """Ten minutes from the plan to your first solved drill; it goes on where the lab of this folder is.

    Without a terminal, and with --dry-run, it prints every step and runs nothing.
    """
    from orchestrator.drills.messages import choose_language
    from orchestrator.verbs import tutorial as verb

    found = verb.tutorial(choose_language(lang), yes=yes)
    is_watched = sys.stdin.isatty() and sys.stdout.isatty()
    if dry_run or not is_text(output) or not (yes or is_watched):
        return show(found, output, _whole)
    total = len(found.steps)
    if found.first:
        click.echo(verb.say("resumed", found.language).format(found.first + 1, total))
    for number, step in enumerate(found.steps[found.first :], found.first + 1):
        click.echo("\n".join(_step_lines(step, number, total)))
        if step.commands and not yes and not _goes_on(found.language):
            click.echo(verb.say("later", found.language))
            return int(ExitCode.OK)
        for command in step.commands:
            if code := verb.run(command):
                click.echo(verb.say("stopped", found.language).format(command, code), err=True)
                return code
    return int(ExitCode.OK)


def _goes_on(language: str) -> bool:
    from orchestrator.verbs.tutorial import say

    answer: str = click.prompt(say("prompt", language), default="", show_default=False)
    return answer.strip().lower() != "q"


def _step_lines(step: TutorialStep, number: int, total: int) -> Iterator[str]:
    yield ""
    yield click.style(f"{number}/{total}", bold=True)
    yield click.wrap_text(step.text, width=100)
    yield from (f"    labctl {command}" for command in step.commands)


def _whole(found: Tutorial) -> Iterator[str]:
    from orchestrator.verbs.tutorial import say

    for number, step in enumerate(found.steps, 1):
        yield from _step_lines(step, number, len(found.steps))
    yield ""
    yield say("printed", found.language)
