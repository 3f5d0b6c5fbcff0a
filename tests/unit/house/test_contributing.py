"""The pages for those who change labctl name files that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "contributing").glob("*.md"))]
# No URL, no absolute path, no name of an image or a document.
PATH = re.compile(r"(?<![\w./:<>}-])(?!labctl/|\.venv/)(?:[\w.*<>-]+/)+[\w.*<>-]*")
# What the examples of the pages would add, and what is there of its kind.
EXAMPLES = {"uptime": "status", "hyperv": "static", "1.38": "1.37"}


def patterns(text: str) -> Iterator[str]:
    """The paths that a text names, one of a kind as a pattern: `roles/<role>/` is any role."""
    for match in PATH.finditer(text):
        path = re.sub(r"<\w+>", "*", match[0].rstrip("."))
        for name, present in EXAMPLES.items():
            path = path.replace(name, present)
        yield path


def exists(pattern: str, page: Path) -> bool:
    """Whether a file or folder matches: from the root, from the page, or inside a role."""
    if pattern.startswith("../"):
        return (page.parent / pattern).exists()
    return any(any(ROOT.glob(f"{top}{pattern}")) for top in ("", "roles/*/"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_a_page_exists(page: Path) -> None:
    named = set(patterns(page.read_text(encoding="utf-8")))
    assert [pattern for pattern in sorted(named) if not exists(pattern, page)] == []


def test_a_path_that_is_gone_is_found() -> None:
    text = "`tests/unit/gone.py`, https://example.org/a/b, `/proc/swaps`, `labctl/nginx:1.22`, `roles/<role>/gone.yml`"
    missing = [pattern for pattern in patterns(text) if not exists(pattern, PAGES[0])]
    assert missing == ["tests/unit/gone.py", "roles/*/gone.yml"]
