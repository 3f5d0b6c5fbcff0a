"""A verify of Molecule in which no check applied fails: it would prove nothing and look like success."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from orchestrator import proc

SKIPS = "import pytest\ndef test_a(): pytest.skip('not applicable: elsewhere')\n"
PASSES = "def test_b(): pass\n"


@pytest.mark.parametrize(("text", "good"), [(SKIPS, False), (SKIPS + PASSES, True)], ids=["only skips", "one passes"])
def test_a_run_in_which_nothing_applied_fails(text: str, good: bool, tmp_path: Path) -> None:
    (tmp_path / "test_role.py").write_text(text)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "orchestrator.verify.molecule_plugin", str(tmp_path)]
    result = proc.run(argv, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert result.ok is good, result.stdout
    assert ("no check of the role applied" in result.stdout) is not good
