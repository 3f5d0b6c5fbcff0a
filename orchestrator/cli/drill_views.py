"""How `labctl drill` shows a task, a verdict and a drill's texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.drills import Attempt, Drill
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.drill.session import Verdict


def text_of(lab: Lab, text: Any, language: str) -> str:
    """One of a drill's texts in a language, with the lab's own names."""
    from orchestrator.drills.catalogue import filled

    return filled(getattr(text, language), lab.plan)


def title_of(about: Drill, language: str) -> str:
    """The drill's title in a language."""
    return str(getattr(about.title, language))


def facts_of(about: Drill, language: str) -> dict[str, Any]:
    """What a list says of a drill, as data."""
    return {
        "title": title_of(about, language),
        "section": about.section,
        "level": about.level,
        "minutes": about.minutes,
        "teaches": getattr(about.teaches, language),
        "directory": str(about.directory),
    }


def show_task(lab: Lab, about: Drill, language: str, output: str) -> None:
    """Print the task and what to do next."""
    from orchestrator.drills import words

    task = text_of(lab, about.task, language)
    if output == "json":
        options.print_json({"schema": "labctl/drill/v1", "name": about.slug, **facts_of(about, language), "task": task})
        return
    click.secho(f"{about.slug}: {title_of(about, language)}", bold=True)
    click.echo(task)
    click.echo(words.say(language, "look"))
    click.echo(words.say(language, "then"))


def how_solved(attempt: Attempt, language: str) -> str:
    """Who solved it, and in which time."""
    from orchestrator.drills import words

    if attempt.by == "labctl":
        return words.say(language, "solved_by_labctl")
    return words.say(language, "solved", words.duration((attempt.solved_at or 0) - attempt.began, language))


def show_verdict(lab: Lab, verdict: Verdict, language: str, output: str) -> int:
    """Print each goal with its mark; the exit code says whether all are reached."""
    from orchestrator.drills import words
    from orchestrator.drills.catalogue import filled

    code = ExitCode.OK if verdict.solved else ExitCode.DRILL
    if output == "json":
        findings = [{**one.as_dict(), "say": filled(one.say[language], lab.plan)} for one in verdict.findings]
        head = {"schema": "labctl/drill-check/v1", "name": verdict.attempt.slug, "solved": verdict.solved}
        options.print_json({**head, "by": verdict.attempt.by, "findings": findings})
        return code
    for one in verdict.findings:
        click.echo(f"{'✓' if one.reached else '✗'} {filled(one.say[language], lab.plan)}")
    if verdict.solved:
        click.echo(how_solved(verdict.attempt, language))
        click.echo(words.say(language, "after"))
    else:
        reached = sum(1 for one in verdict.findings if one.reached)
        click.echo(words.say(language, "unsolved", reached, len(verdict.findings)))
    return code
