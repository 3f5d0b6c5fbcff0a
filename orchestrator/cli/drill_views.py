"""The lines that `labctl drill` prints for people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator.cli.output import table

if TYPE_CHECKING:
    from orchestrator.drills.messages import Wording
    from orchestrator.drills.progress import Attempt
    from orchestrator.verbs.drill.grade import Verdict
    from orchestrator.verbs.drill.listing import DrillList, LintResult, ListedDrill
    from orchestrator.verbs.drill.observe import Answers
    from orchestrator.verbs.drill.progress import DrillStatus, Hints, Task


def list_lines(listed: DrillList) -> Iterator[str]:
    """A row for each drill, its state below it, then what the list leaves out."""
    wording = listed.wording
    width = max((len(one.drill.slug) for one in listed.drills), default=0)
    rows = table([_row(one, wording) for one in listed.drills]) if listed.drills else []
    for one, row in zip(listed.drills, rows, strict=True):
        yield row
        if one.state != "new":
            yield f"{'':<{width}}  {wording.say(one.state, one.reason)}"
    solved = sum(1 for one in listed.drills if one.state == "done")
    if listed.drills:
        yield wording.say("summary", solved, len(listed.drills))
    if listed.hidden:
        yield wording.say("untested", listed.hidden)
    for problem in listed.problems:
        yield f"{problem.where}: {wording.say('unreadable')}"
    if not listed.has_lab:
        yield wording.say("no_lab")


def _row(listed: ListedDrill, wording: Wording) -> list[str]:
    drill = listed.drill
    minutes = wording.say("minutes", drill.minutes)
    return [drill.slug, f"{drill.section:<8}", f"{'*' * drill.level:<3}", f"{minutes:>6}", wording.text(drill.title)]


def task_lines(task: Task) -> Iterator[str]:
    """The task, and what to do next."""
    yield click.style(f"{task.drill.slug}: {task.wording.text(task.drill.title)}", bold=True)
    yield task.text
    yield task.wording.say("look")
    yield task.wording.say("then")


def hint_lines(hints: Hints, wording: Wording) -> Iterator[str]:
    """The hints shown so far."""
    for number, text in enumerate(hints.hints, 1):
        yield click.style(wording.say("hint", number), bold=True)
        yield text
    if not hints.has_more:
        yield wording.say("no_more_hints")


def answer_lines(answers: Answers, wording: Wording, *, with_questions: bool) -> Iterator[str]:
    """The questions, unless they were asked already, and which answers are right."""
    if not answers.questions:
        yield wording.say("no_questions")
    for number, text in enumerate(answers.questions, 1):
        if with_questions:
            yield f"{wording.say('question', number)}: {text}"
        if number in answers.right:
            mark, key = ("✓", "right") if answers.right[number] else ("✗", "not_right")
            yield f"  {mark} {answers.given[number]}: {wording.say(key)}"
    if answers.questions and not answers.given:
        yield wording.say("answer_with")


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """Each goal with its mark, and what to do next."""
    wording = verdict.wording
    for one in verdict.findings:
        yield f"{'✓' if one.is_reached else '✗'} {wording.text(one.say)}"
    if verdict.is_solved:
        yield _solution(verdict.attempt, wording)
        yield wording.say("after")
    else:
        reached = sum(1 for one in verdict.findings if one.is_reached)
        yield wording.say("unsolved", reached, len(verdict.findings))


def status_lines(status: DrillStatus, wording: Wording) -> Iterator[str]:
    """The open drill, how far it is, and its task."""
    attempt = status.attempt
    if attempt is None:
        yield wording.say("nothing_open")
        return
    since = wording.duration(time.time() - attempt.began)
    yield wording.say("is_open", attempt.slug, since, attempt.hints, attempt.checks)
    if attempt.interrupted:
        yield wording.say("was_interrupted", attempt.phase)
    if attempt.solved_at:
        yield _solution(attempt, wording)
    if status.task:
        yield from task_lines(status.task)


def lint_lines(result: LintResult) -> Iterator[str]:
    """Each problem with its place, and the counts."""
    yield from map(str, result.problems)
    yield f"{result.count} drills, {len(result.problems)} problems"


def _solution(attempt: Attempt, wording: Wording) -> str:
    if attempt.by == "labctl":
        return wording.say("solved_by_labctl")
    return wording.say("solved", wording.duration((attempt.solved_at or 0) - attempt.began))
