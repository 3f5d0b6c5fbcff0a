"""Who may make a build root: root, and users to whom the system gives subordinate IDs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.bundle import root

NOBODY = 65534


def problem_of(user: int, file: Path) -> str:
    """What keeps a user of this ID from it, found out by a process of that user."""
    file.touch()
    child = os.fork()
    if child == 0:
        with file.open("w", encoding="utf-8") as answer:
            os.setuid(user)
            problem = root.user_problem()
            answer.write(f"{problem.what}\n{problem.fix}" if problem else "")
        os._exit(0)
    os.waitpid(child, 0)
    return file.read_text(encoding="utf-8")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_user_without_subordinate_ids_is_told_how_to_get_them(tmp_path: Path) -> None:
    assert problem_of(0, tmp_path / "root") == ""
    said = problem_of(NOBODY, tmp_path / "nobody")
    assert "takes root, or a user with subordinate IDs" in said
    assert "usermod --add-subuids" in said
