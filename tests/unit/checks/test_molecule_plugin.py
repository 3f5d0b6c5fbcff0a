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
    result = run_molecule_tests(tmp_path)
    assert result.ok is good, result.stdout
    assert ("no check of the role applied" in result.stdout) is not good


DECLARED = """checks:
  - {id: a.b, title: A, layer: system, severity: error, remedy: repair the node, test: test_declared}
"""


def run_molecule_tests(directory: Path) -> proc.Result:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "orchestrator.verify.molecule_plugin", str(directory)]
    return proc.run(argv, check=False, cwd=directory, env={**os.environ, "PYTHONPATH": str(Path.cwd())})


def test_a_check_that_fails_shows_its_id_and_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "test_role.yml").write_text(DECLARED)
    (tmp_path / "test_role.py").write_text("def test_declared(): assert False\n")
    output = run_molecule_tests(tmp_path).stdout
    assert "a.b" in output
    assert "fix: repair the node" in output


def test_a_test_that_its_role_does_not_declare_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_role.yml").write_text(DECLARED)
    (tmp_path / "test_role.py").write_text("def test_declared(): pass\ndef test_other(): pass\n")
    result = run_molecule_tests(tmp_path)
    assert not result.ok
    assert "test_other is not declared" in result.stdout + result.stderr
