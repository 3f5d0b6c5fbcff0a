"""`labctl drill observe`: questions about what can be seen, and answers compared with the cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.drills.catalog import filled
from orchestrator.drills.grading import contains, same_answer
from orchestrator.drills.messages import Wording
from orchestrator.drills.schema import Drill
from orchestrator.errors import SpecError
from orchestrator.lab.drill_progress import save_progress
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.verbs.drill.progress import open_drill


@dataclass(frozen=True)
class ComparedQuestion:
    """A question, counted from 1, and whether its answer is right; None is not answered yet."""

    number: int
    ask: str
    right: bool | None


@dataclass(frozen=True)
class Answers(Result):
    """The questions of the open drill."""

    name: str
    questions: tuple[ComparedQuestion, ...]
    schema = "labctl/drill-observe/v1"


def open_questions(lab: Lab, given: Path | None, wording: Wording) -> tuple[str, ...]:
    """The questions of the open drill."""
    return tuple(wording.text(question.ask) for question in open_drill(lab, given)[0].observe)


def compare_answers(lab: Lab, answers: Mapping[int, str], given: Path | None, wording: Wording) -> Answers:
    """Compare answers, by the number of their question, with what can be seen. Raises SpecError for a wrong number."""
    with exclusive_lock(lab.directory, "drill observe"):
        drill, progress = open_drill(lab, given)
        count = len(drill.observe)
        if unknown := [number for number in answers if not 1 <= number <= count]:
            raise SpecError(
                f"no question has the number {unknown[0]}", fix=f"{drill.slug} asks {count}: labctl drill observe"
            )
        before = progress.required().answered
        right = {number: _is_right(lab, drill, number, text) for number, text in answers.items()}
        for number in [number for number, is_right in right.items() if is_right]:
            progress = progress.answered(number)
        save_progress(lab, progress)
    compared = (
        ComparedQuestion(number, wording.text(question.ask), right.get(number, number in before or None))
        for number, question in enumerate(drill.observe, 1)
    )
    return Answers(drill.slug, tuple(compared))


def _is_right(lab: Lab, drill: Drill, number: int, given: str) -> bool:
    answer = drill.observe[number - 1].answer
    if answer.kubectl:
        return same_answer(given, kubectl_answer(lab, filled(answer.kubectl, lab.plan)))
    return bool(given.strip()) and contains(given, [filled(word, lab.plan) for word in answer.accept])


def kubectl_answer(lab: Lab, arguments: str) -> str:
    """What the lab's kubectl prints, its error output included: a refused connection is a symptom too."""
    argv = [*kubectl_argv(lab), "--request-timeout=5s", *shlex.split(arguments)]
    try:
        done = proc.run(argv, check=False, timeout=15, env={"KUBECONFIG": str(kubeconfig_path(lab))})
    except proc.ProcessFailed as problem:
        return str(problem)
    return f"{done.stdout}{done.stderr}".strip()
