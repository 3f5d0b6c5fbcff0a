"""README.ko.md keeps step with README.md: the same sections, lines to type, names in code, links and numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
KOREAN = (ROOT / "README.ko.md").read_text(encoding="utf-8")
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")


def sections(text: str) -> list[str]:
    """The text under each heading, in order."""
    return re.split(r"^## .*$", text, flags=re.MULTILINE)


def typed(part: str) -> list[tuple[str, bool]]:
    """The lines to type, and whether a comment explains them; the comment is in the page's language."""
    lines = [re.split(r"\s+# ", line) for line in part.splitlines() if line.startswith("    ")]
    return [(line[0].rstrip(), len(line) > 1) for line in lines]


def in_code(part: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", part))


def rows(part: str) -> list[set[str]]:
    """For each row of a table: its names in code and its numbers."""
    return [in_code(line) | set(re.findall(r"\d+", line)) for line in part.splitlines() if line.startswith("|")]


def test_every_command_is_there_in_korean() -> None:
    named = set(re.findall(r"[a-z]+", " ".join(re.findall(r"`([^`]+)`", KOREAN))))
    assert set(COMMANDS) <= named


def test_the_quick_start_is_typed_alike() -> None:
    quick_start = typed(KOREAN.split("\n## 빠른 시작\n", 1)[1].split("\n## ", 1)[0])
    assert quick_start == typed(ENGLISH.split("\n## Quick start\n", 1)[1].split("\n## ", 1)[0])


def test_both_have_the_same_sections() -> None:
    assert len(sections(KOREAN)) == len(sections(ENGLISH))


@pytest.mark.parametrize(("korean", "english"), list(zip(sections(KOREAN), sections(ENGLISH), strict=False)))
class TestSection:
    def test_it_is_typed_alike(self, korean: str, english: str) -> None:
        assert typed(korean) == typed(english)

    def test_it_names_the_same_things_in_code(self, korean: str, english: str) -> None:
        assert in_code(korean) == in_code(english)

    def test_its_tables_have_the_same_rows(self, korean: str, english: str) -> None:
        assert rows(korean) == rows(english)

    def test_it_has_every_number(self, korean: str, english: str) -> None:
        number = r"\d[\d.]*\d|\d"
        assert set(re.findall(number, english)) <= set(re.findall(number, korean))

    def test_it_links_to_the_same_pages(self, korean: str, english: str) -> None:
        def links(part: str) -> set[str]:
            """The pages linked to, a page and its translation being one."""
            found = {link.replace(".ko.md", ".md") for link in re.findall(r"\]\(([^)]+)\)", part)}
            return found - {"README.md", "docs/tutorials/drills.md"}

        assert links(korean) == links(english)
