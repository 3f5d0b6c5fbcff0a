"""What a student's repair is worth: each goal of a drill against the results of its check. Pure."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .schema import Drill, Goal, Text
from .steps import environment, fill

COMMAND_SECONDS = 15

# One check on one node: id, node, status, evidence.
CheckResult = tuple[str, str, str, str]


@dataclass(frozen=True)
class Finding:
    """One goal: whether it is reached, and what was seen when it is not."""

    check: str
    reached: bool
    say: str
    evidence: tuple[str, ...] = ()


def evaluate(drill: Drill, results: Sequence[CheckResult], say: Callable[[Text], str]) -> tuple[Finding, ...]:
    """The findings in the order of the goals.

    A goal is reached when its check passed wherever it applies and applied somewhere; no verdict is no pass.
    """
    return tuple(_finding(goal.check, say(goal.say), results) for goal in drill.expect)


def _finding(check: str, say: str, results: Sequence[CheckResult]) -> Finding:
    mine = [result for result in results if result[0] == check and result[2] != "not_applicable"]
    bad = [f"{node}: {evidence}" if node else evidence for _, node, status, evidence in mine if status != "ok"]
    return Finding(check, bool(mine) and not bad, say, tuple(bad))


def goal_script(goals: Sequence[Goal], names: Mapping[str, str]) -> str:
    """A script that runs the commands of goals: a line of index, exit code and answer in base64 for each."""
    lines = [f"export {key}={shlex.quote(text)}" for key, text in environment(names).items()]
    lines.append("error=$(mktemp); trap 'rm -f \"$error\"' EXIT")
    for index, goal in enumerate(goals):
        command = shlex.quote(fill(goal.command, names))
        lines.append(f'answer=$(timeout {COMMAND_SECONDS} bash -euc {command} 2>"$error"); code=$?')
        lines.append('[ $code = 0 ] || answer=$(tail -n 1 "$error")')
        lines.append(f'echo "{index} $code $(printf %s "$answer" | base64 -w0)"')
    return "\n".join(lines)


def goal_results(goals: Sequence[Goal], names: Mapping[str, str], node: str, output: str) -> list[CheckResult]:
    """The results of goals from what their script printed; a goal without a line has none."""
    results = []
    for line in output.splitlines():
        index, code, packed = [*line.split(" "), "", ""][:3]
        goal = goals[int(index)]
        answer = base64.b64decode(packed).decode(errors="replace").strip()
        expected = fill(goal.expected, names)
        reached = code == "0" and bool(re.search(expected, answer))
        shown = answer or ("no answer" if code == "0" else f"exit code {code}")
        results.append(
            (goal.check, node, "ok" if reached else "failed", f"{shown} (expected: {expected or 'success'})")
        )
    return results


def same_answer(given: str, right: str) -> bool:
    """Whether an answer is the right one; case and surrounding blanks do not count."""
    return " ".join(given.split()).casefold() == " ".join(right.split()).casefold()


def contains(given: str, words: Sequence[str]) -> bool:
    """Whether an answer contains one of the words."""
    return any(word.casefold() in given.casefold() for word in words)
