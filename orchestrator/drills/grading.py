"""What a student's repair is worth: each goal of a drill against the results of its check. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .load import Drill

# One check on one node: id, node, status, evidence.
Result = tuple[str, str, str, str]


@dataclass(frozen=True)
class Finding:
    """One goal: whether it is reached, and what was seen when it is not."""

    check: str
    reached: bool
    say: Mapping[str, str]
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(drill: Drill, results: Sequence[Result]) -> tuple[Finding, ...]:
    """The findings in the order of the goals.

    A goal is reached when its check passed wherever it applies and applied somewhere; no verdict is no pass.
    """
    return tuple(_finding(goal.check, goal.say.model_dump(), results) for goal in drill.goals)


def _finding(check: str, say: dict[str, str], results: Sequence[Result]) -> Finding:
    mine = [result for result in results if result[0] == check and result[2] != "not_applicable"]
    bad = [f"{node}: {evidence}" if node else evidence for _, node, status, evidence in mine if status != "ok"]
    return Finding(check, bool(mine) and not bad, say, tuple(bad))


def same_answer(given: str, right: str) -> bool:
    """Whether an answer is the right one; case and surrounding blanks do not count."""
    return " ".join(given.split()).casefold() == " ".join(right.split()).casefold()


def contains(given: str, words: Sequence[str]) -> bool:
    """Whether an answer contains one of the words."""
    return any(word.casefold() in given.casefold() for word in words)
