"""Molecule works wherever the files lie: a clone, a worktree, a ZIP download without .git."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from orchestrator import proc

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what Molecule reads, in no repository."""
    copy = tmp_path_factory.mktemp("unpacked")
    for name in ("molecule", "extensions"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(".labctl"))
    shutil.copy(ROOT / "galaxy.yml", copy)
    return copy


def molecule(directory: Path, *arguments: str) -> str:
    argv = [sys.executable, "-m", "molecule", *arguments]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "NO_COLOR": "1", "HOME": str(directory)}
    result = proc.run(argv, cwd=directory, timeout=100, env=env)
    return result.stdout + result.stderr


def test_every_scenario_is_listed(unpacked: Path) -> None:
    output = molecule(unpacked, "list", "--format", "plain")
    assert {name for name in SCENARIOS if name in output.split()} == SCENARIOS


def test_a_scenario_has_the_common_settings(unpacked: Path) -> None:
    output = molecule(unpacked, "matrix", "--scenario-name", "docker", "test")
    steps = [word for word in output.split() if word in ("destroy", "check", "converge", "idempotence", "verify")]
    assert steps == ["destroy", "check", "converge", "idempotence", "verify", "destroy"]
