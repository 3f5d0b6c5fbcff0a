"""Korean texts use one term for a thing, and the Korean tutorial quotes the drill as it is today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.drills.load import load
from orchestrator.drills.schema import LANGUAGES

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs/contributing/write-korean.md"
TEXTS = sorted(
    [
        ROOT / "README.ko.md",
        ROOT / "orchestrator/drills/messages.py",
        ROOT / "orchestrator/verbs/tutorial.yml",
        ROOT / "orchestrator/drills/templates/class.html.j2",
        *ROOT.glob("docs/**/*.ko.md"),
        *ROOT.glob("drills/*/drill.yml"),
    ]
)


def other_words() -> list[str]:
    """The stems of the words in the glossary's last column; a verb without its ending."""
    rows = [line.split("|") for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    words = ", ".join(row[3].strip() for row in rows[1:] if row[3].strip())
    return [re.sub("다$", "", word) for word in words.split(", ")]


def found(text: str) -> list[str]:
    """The words of the glossary's last column that stand in a text, at the beginning of a word."""
    return [word for word in other_words() if re.search(f"(?<![가-힣]){word}", text)]


def test_a_word_beside_the_glossary_is_found() -> None:
    assert found("랩을 망가뜨리고, 트랩은 그대로 둡니다") == ["망가뜨리", "랩"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_term_for_a_thing(path: Path) -> None:
    assert found(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tutorial_quotes_the_drill_as_it_is(language: str) -> None:
    page = ROOT / f"docs/tutorials/drills{'.ko' if language == 'ko' else ''}.md"
    drill = load(ROOT / "drills/run-or-create")
    said = [f"run-or-create: {drill.title.in_language(language)}"]
    said += drill.task.in_language(language).split("\n\n")[0].splitlines()
    said += [f"✗ {goal.say.in_language(language)}" for goal in drill.expect]
    shown = [line.strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    assert [line for line in said if line not in shown] == []
