"""The choice of cases for a run, as pure functions of cases, recorded results and minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """The last recorded run of a test; `key` is the hash of the inputs it ran through."""

    date: str
    commit: str
    seconds: float
    outcome: str
    key: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Test:
    """A collected test: its pytest id, the hash of its inputs, its part, its seconds while none are recorded."""

    __test__ = False
    id: str
    key: str
    part: str = ""
    seconds: float = 60.0


@dataclass(frozen=True)
class Case:
    """What runs as one: a test, or the tests of a module that build on each other."""

    id: str
    tests: tuple[Test, ...]
    is_representative: bool = False

    def estimate(self, results: Mapping[str, Result]) -> float:
        """Return its seconds: recorded ones where there are any."""
        return sum(results[one.id].seconds if one.id in results else one.seconds for one in self.tests)

    def is_current(self, results: Mapping[str, Result]) -> bool:
        """Return whether every test has a result of the inputs as they are now."""
        return all(one.id in results and results[one.id].key == one.key for one in self.tests)

    def is_settled(self, results: Mapping[str, Result]) -> bool:
        """Return whether every test has a current result and none failed."""
        return self.is_current(results) and all(results[one.id].outcome != "failed" for one in self.tests)

    def last_run(self, results: Mapping[str, Result]) -> str:
        """Return the date of its oldest result; empty when a test has none."""
        return min(results[one.id].date if one.id in results else "" for one in self.tests)


@dataclass(frozen=True)
class Choice:
    """The cases that run now and those that do not fit, both in the order of their urgency."""

    chosen: tuple[Case, ...]
    left: tuple[Case, ...]


def choose(cases: Iterable[Case], results: Mapping[str, Result], minutes: float) -> Choice:
    """Return as many cases as fit: changed or failed ones first, representative before others, then the oldest.

    Representative ones that changed or failed are chosen whether they fit or not: they are what every run tests.
    """
    urgency = sorted(
        cases, key=lambda case: (case.is_settled(results), not case.is_representative, case.last_run(results))
    )
    required = [case for case in urgency if case.is_representative and not case.is_settled(results)]
    return _fill(required, urgency[len(required) :], results, minutes)


def choose_pending(cases: Iterable[Case], results: Mapping[str, Result], minutes: float) -> Choice:
    """Return as many cases as fit of those without a current result, and after them of those that failed."""
    pending = [case for case in cases if not case.is_settled(results)]
    pending.sort(key=lambda case: (case.is_current(results), not case.is_representative, case.last_run(results)))
    return _fill([], pending, results, minutes)


def _fill(required: list[Case], cases: Iterable[Case], results: Mapping[str, Result], minutes: float) -> Choice:
    chosen = list(required)
    left: list[Case] = []
    seconds = minutes * 60 - sum(case.estimate(results) for case in required)
    for case in cases:
        estimate = case.estimate(results)
        if estimate <= seconds:
            seconds -= estimate
            chosen.append(case)
        else:
            left.append(case)
    return Choice(tuple(chosen), tuple(left))
