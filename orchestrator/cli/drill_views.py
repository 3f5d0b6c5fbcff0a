"""The lines that `labctl drill` prints for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

HINTS = 3

if TYPE_CHECKING:
    from orchestrator.drills.messages import Wording
    from orchestrator.drills.progress import Attempt
    from orchestrator.verbs.drill.grade import Verdict
    from orchestrator.verbs.drill.listing import DrillList, LintResult
    from orchestrator.verbs.drill.observe import Answers
    from orchestrator.verbs.drill.progress import Hints, Task


def list_lines(listed: DrillList, wording: Wording, *, by_book: bool = False) -> Iterator[str]:
    """A row for each drill, its state below it, then what the list leaves out; `by_book` is a table of contents."""
    rows = [
        (", ".join(one.book) if by_book else one.name, one.name if by_book else one.section) for one in listed.drills
    ]
    width, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for one, row in zip(listed.drills, rows, strict=True):
        minutes = wording.say("minutes", one.minutes)
        yield f"{row[0]:<{width}}  {row[1]:<{second}}  {'*' * one.level:<3} {minutes:>6}  {one.title}"
        if one.state != "new":
            yield f"{'':<{width}}  {wording.say(one.state, one.why)}"
    if listed.drills:
        yield wording.say("summary", sum(one.state == "done" for one in listed.drills), len(listed.drills))
    if listed.hidden:
        yield wording.say("untested", listed.hidden)
    for problem in listed.problems:
        yield f"{problem.where}: {wording.say('unreadable')}"
    if not wording.names:
        yield wording.say("no_lab")


def task_lines(task: Task, wording: Wording) -> Iterator[str]:
    """The task, and what to do next."""
    yield click.style(f"{task.name}: {task.title}", bold=True)
    yield from (task.task, wording.say("look"), wording.say("then"))


def hint_lines(hints: Hints, wording: Wording) -> Iterator[str]:
    """The hints shown so far."""
    for number, text in enumerate(hints.hints, 1):
        yield click.style(wording.say("hint", number), bold=True)
        yield text
    if len(hints.hints) == HINTS:
        yield wording.say("no_more_hints")


def answer_lines(answers: Answers, typed: Mapping[int, str], wording: Wording, *, asked: bool) -> Iterator[str]:
    """The questions, unless they were asked already, and which of the typed answers are right."""
    if not answers.questions:
        yield wording.say("no_questions")
    for question in answers.questions:
        if not asked:
            yield f"{wording.say('question', question.number)}: {question.ask}"
        if question.number in typed:
            mark, key = ("✓", "right") if question.right else ("✗", "not_right")
            yield f"  {mark} {typed[question.number]}: {wording.say(key)}"
    if answers.questions and not typed:
        yield wording.say("answer_with")


def verdict_lines(verdict: Verdict, wording: Wording) -> Iterator[str]:
    """Each goal with its mark, and what to do next."""
    for one in verdict.findings:
        yield f"{'✓' if one.reached else '✗'} {one.say}"
    if verdict.solved:
        yield from (_solution(verdict.by, verdict.seconds, wording), wording.say("after"))
    else:
        yield wording.say("unsolved", sum(one.reached for one in verdict.findings), len(verdict.findings))


def status_lines(attempt: Attempt | None, task: Task | None, wording: Wording) -> Iterator[str]:
    """The open drill, how far it is, and its task."""
    if attempt is None or task is None:
        yield wording.say("nothing_open")
        return
    since = wording.duration(time.time() - attempt.began)
    yield wording.say("is_open", attempt.slug, since, attempt.hints, attempt.checks)
    if attempt.interrupted:
        yield wording.say("was_interrupted", wording.say(attempt.phase))
    if attempt.solved_at:
        yield _solution(attempt.by, attempt.seconds, wording)
    yield from task_lines(task, wording)


def lint_lines(result: LintResult) -> Iterator[str]:
    """Each problem with its place, and the counts."""
    yield from map(str, result.problems)
    yield f"{result.drills} drills, {len(result.problems)} problems"


def _solution(by: str, seconds: float, wording: Wording) -> str:
    return wording.say("solved_by_labctl") if by == "labctl" else wording.say("solved", wording.duration(seconds))
