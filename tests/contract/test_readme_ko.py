"""README.ko.md keeps step with README.md: the same commands, the same lines to type."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
KOREAN = (ROOT / "README.ko.md").read_text(encoding="utf-8")
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")


def typed(text: str, heading: str) -> list[str]:
    """The lines to type under a heading."""
    part = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in part.splitlines() if line.startswith("    ")]


def test_every_command_is_there_in_korean() -> None:
    named = set(re.findall(r"[a-z]+", " ".join(re.findall(r"`([^`]+)`", KOREAN))))
    assert set(COMMANDS) <= named


def test_the_quick_start_is_typed_alike() -> None:
    assert typed(KOREAN, "빠른 시작") == typed(ENGLISH, "Quick start")
