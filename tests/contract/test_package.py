"""The wheel: its name, its version, and the command it brings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.source_tree import copy_source_tree

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FALLBACK = PROJECT["tool"]["hatch"]["version"]["fallback-version"]
GIT = ("git", "-c", "user.name=reader", "-c", "user.email=reader@example.invalid")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as a ZIP download has it: without .git."""
    return copy_source_tree(ROOT, tmp_path_factory.mktemp("zip") / "source")


def build_wheel(source: Path, target: Path) -> Path:
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    # A repository above the unpacked ZIP is not the project's.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(source.parent)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(target.glob("*.whl"))


def reported_version(wheel: Path, place: Path) -> str:
    """What `labctl --version` of an unpacked wheel prints."""
    shutil.unpack_archive(wheel, place, "zip")
    argv = [sys.executable, "-P", "-m", "orchestrator.cli", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(place)}
    return subprocess.run(argv, cwd=place, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_the_distribution_has_its_own_name_and_keeps_the_command() -> None:
    assert PROJECT["project"]["name"] != "labctl"
    assert PROJECT["project"]["scripts"] == {"labctl": "orchestrator.cli.main:run"}


def test_a_wheel_from_a_zip_has_the_fallback_version(source: Path, tmp_path: Path) -> None:
    wheel = build_wheel(source, tmp_path / "dist")
    assert wheel.name.split("-")[1] == FALLBACK
    assert reported_version(wheel, tmp_path / "unpacked") == f"labctl, version {FALLBACK}"


def test_a_wheel_from_a_tagged_commit_has_the_version_of_the_tag(source: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(source, tmp_path / "source")
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "All"], ["tag", "v9.8.7"]):
        subprocess.run([*GIT, *command], cwd=tree, check=True, capture_output=True)
    wheel = build_wheel(tree, tmp_path / "dist")
    assert reported_version(wheel, tmp_path / "unpacked") == "labctl, version 9.8.7"
