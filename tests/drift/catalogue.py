"""The drift cases as data: loaded and typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("cases.yml")


@dataclass(frozen=True)
class Case:
    """One way to break a lab; the fields are explained at the top of cases.yml."""

    id: str
    node: str
    inject: str
    expect: tuple[str, ...]
    restore: str
    follow: tuple[str, ...] = ()
    wait: str = "true"
    providers: tuple[str, ...] = ("container", "vm")
    representative: bool = False

    def runs_on(self, provider: str) -> bool:
        """Whether this case may be done to machines of a provider."""
        return ("container" if provider == "container" else "vm") in self.providers

    @property
    def quiet(self) -> bool:
        """Whether this break stays where it is: nothing follows from it, nothing has to recover afterwards."""
        return not self.follow and self.wait == "true"

    def unexplained(self, found: set[str]) -> set[str]:
        """Checks that were reported and neither expected nor explained by this break."""
        return {one for one in found - set(self.expect) if not any(fnmatchcase(one, each) for each in self.follow)}


def load() -> list[Case]:
    """All cases in the order of the file."""
    entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))["cases"]
    return [
        Case(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
        for entry in entries
    ]


def together(cases: Sequence[Case], most: int = 12) -> list[tuple[Case, ...]]:
    """The cases in groups that are injected at once and found by one verify.

    Quiet cases share a group when no check is expected of two of them, so that each finding has one cause; every
    other case is alone.
    """
    groups: list[list[Case]] = []
    for case in cases:
        for group in groups if case.quiet else []:
            expected = {identity for other in group for identity in other.expect}
            if group[0].quiet and len(group) < most and not expected & set(case.expect):
                group.append(case)
                break
        else:
            groups.append([case])
    return [tuple(group) for group in groups]
