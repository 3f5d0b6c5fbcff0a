"""The rows of rows.yml: what a reader types and what has to be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("rows.yml")
RUNS = ("test", "full")
READER_MINOR = "1.18"  # the book's own, which no lab of ours has


@dataclass(frozen=True)
class Row:
    """One row; the fields are explained at the top of rows.yml."""

    section: str
    where: str
    command: str
    shows: str
    run: str
    expect: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    within: float = 0.0
    terminal: str = "first"
    leave: bool = False
    look: bool = False
    interrupt: bool = False

    @property
    def is_run(self) -> bool:
        """Whether a lab of ours types it."""
        return self.run in RUNS

    def patterns(self, minor: str) -> tuple[str, ...]:
        """The regular expressions that the answer contains on this minor of Kubernetes."""
        return self.expect + (self.versions[minor] if self.versions else ())

    def problems(self, answer: str, minor: str, kept: Mapping[str, str]) -> list[str]:
        """What of the answer is not as expected; empty when all is."""
        found = [f"lacks {one}" for one in self.patterns(minor) if not _search(one, answer, kept)]
        found += [f"has {one}" for one in self.lacks if _search(one, answer, kept)]
        for pattern, number in self.lines.items():
            count = sum(bool(_search(pattern, line, kept)) for line in answer.splitlines())
            found += [f"has {count} lines of {pattern}, not {number}"] if count != number else []
        return found + [f"lacks {name}, {one}" for name, one in self.keep.items() if not _search(one, answer, kept)]

    def kept(self, answer: str, known: Mapping[str, str]) -> dict[str, str]:
        """The parts of the answer that later rows name."""
        matches = {name: _search(pattern, answer, known) for name, pattern in self.keep.items()}
        return {name: match[1] for name, match in matches.items() if match}


def fill(text: str, kept: Mapping[str, str]) -> str:
    """A text with the kept parts in it; other braces stay."""
    for name, value in kept.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _search(pattern: str, answer: str, kept: Mapping[str, str]) -> re.Match[str] | None:
    return re.search(fill(pattern, kept), answer, re.MULTILINE)


def read_rows(file: Path = FILE) -> tuple[Row, ...]:
    """All rows in the book's order. Raises TypeError for a key that is not known."""
    return tuple(_rows(yaml.safe_load(file.read_text(encoding="utf-8"))["rows"]))


def images(file: Path = FILE) -> dict[str, str]:
    """What is typed in place of the book's images."""
    found: dict[str, str] = yaml.safe_load(file.read_text(encoding="utf-8"))["images"]
    return found


def _rows(listed: list[dict[str, Any]]) -> Iterator[Row]:
    for one in listed:
        several = {name: tuple(one[name]) for name in ("expect", "lacks") if name in one}
        versions = {minor: tuple(patterns) for minor, patterns in one.get("versions", {}).items()}
        yield Row(**{**one, **several, "versions": versions})
