"""The drift cases as data: loaded and typed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, product
from pathlib import Path
from typing import Any

from orchestrator.drills.steps import Step, undo
from tests.scenarios import case_steps, read_cases

FILE = Path(__file__).with_name("cases.yml")


@dataclass(frozen=True)
class Case:
    """One way to break a lab; the fields are explained at the top of cases.yml."""

    id: str
    breaks: tuple[Step, ...]
    expect: tuple[str, ...]
    repair: tuple[Step, ...]
    follow: tuple[str, ...] = ()
    recovers: bool = False
    providers: tuple[str, ...] = ("container", "vm")
    representative: bool = False
    docker: bool = False

    def runs_on(self, provider: str) -> bool:
        """Whether this case may be done to machines of a provider."""
        return ("container" if provider == "container" else "vm") in self.providers

    @property
    def quiet(self) -> bool:
        """Whether this break stays where it is: nothing follows from it, nothing has to recover afterwards."""
        return not self.follow and not self.recovers

    def unexplained(self, found: set[str]) -> set[str]:
        """Checks that were reported and neither expected nor explained by this break."""
        return {one for one in found - set(self.expect) if not any(fnmatchcase(one, each) for each in self.follow)}


def load() -> list[Case]:
    """All cases in the order of the file."""
    return [_case(entry) for entry in read_cases(FILE)]


def _case(entry: Mapping[str, Any]) -> Case:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    # A list among them is one that another case has too.
    listed = [one if isinstance(one, list) else [one] for one in values.pop("follow", ())]
    node = values.pop("node")
    breaks = case_steps(values.pop("break"), node)
    repair = case_steps(values.pop("repair"), node, breaks) if "repair" in values else undo(breaks)
    return Case(breaks=breaks, repair=repair, follow=tuple(chain.from_iterable(listed)), **values)


def together(cases: Sequence[Case], most: int = 12) -> list[tuple[Case, ...]]:
    """The cases in groups that are done at once and found by one verify.

    Quiet cases share a group when no check is expected of two of them, so that each finding has one cause, and when
    none takes away what another's check needs: nobody asks further of a service that does not run. Every other case is
    alone.
    """
    groups: list[list[Case]] = []
    for case in cases:
        for group in groups if case.quiet else []:
            if group[0].quiet and len(group) < most and not any(_share_a_subject(case, other) for other in group):
                group.append(case)
                break
        else:
            groups.append([case])
    return [tuple(group) for group in groups]


def chosen() -> list[Case]:
    """The cases of LABCTL_DRIFT_ONLY, names separated by commas; all of them when that is empty."""
    only = frozenset(filter(None, os.environ.get("LABCTL_DRIFT_ONLY", "").split(",")))
    return [case for case in load() if not only or case.id in only]


def name_of(group: Sequence[Case]) -> str:
    """What a group is called among the tests."""
    return group[0].id if len(group) == 1 else f"{group[0].id}-and-{len(group) - 1}-more"


def _share_a_subject(one: Case, other: Case) -> bool:
    """Whether both are found by the same check, or one by the check that a service runs and one by another of it."""
    return any(
        first == second
        or (_subject(first) == _subject(second) and any(each.endswith(".running") for each in (first, second)))
        for first, second in product(one.expect, other.expect)
    )


def _subject(check: str) -> str:
    return check.partition(".")[0]
