"""What `labctl image` refuses before it touches the lab, each with the command that helps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import ExitCode
from orchestrator.lab.state import Lab, save_plan
from orchestrator.paths import LabDir
from tests.contract.test_cli import ROOT
from tests.unit.providers.test_container_spec import PLAN


def make_lab(home: Path, *, registry: bool = True) -> Lab:
    """A lab on disk whose machines are not there."""
    plan = replace(PLAN, owner=str(home), registry=registry)
    directory = LabDir.beside(home / "lab.yml", plan.name)
    save_plan(directory, plan)
    return Lab(directory, plan)


def labctl(home: Path, *args: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LABCTL_OFFLINE": "1", "PYTHONPATH": str(ROOT), "LABCTL_CACHE": str(home / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "image", *args],
        cwd=home,
        env=environment | ({"PATH": path} if path else {}),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "command",
    [("list",), ("push", "app.tar"), ("pull", "app", "app.tar"), ("remove", "app"), ("push", "x", "--dry-run")],
)
def test_a_lab_without_a_registry_is_told_how_to_get_one(tmp_path: Path, command: tuple[str, ...]) -> None:
    make_lab(tmp_path, registry=False)
    done = labctl(tmp_path, *command)
    assert done.returncode == ExitCode.USAGE
    assert f"the lab {PLAN.name} has no registry" in done.stderr
    assert "write `registry: true` into lab.yml, then: labctl provision" in done.stderr


@pytest.mark.parametrize("file", ["app.tar", "./app", "/nowhere/app"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, file: str) -> None:
    make_lab(tmp_path)
    done = labctl(tmp_path, "push", file)
    assert done.returncode == ExitCode.USAGE
    assert f"there is no file {file}" in done.stderr
    assert "docker save IMAGE -o FILE" in done.stderr


def test_an_image_is_asked_of_a_docker_that_may_not_be_there(tmp_path: Path) -> None:
    make_lab(tmp_path)
    done = labctl(tmp_path, "push", "me/app:v1", path=str(tmp_path))
    assert done.returncode == ExitCode.HOST
    assert "me/app:v1 is no file, and this host has no docker to take the image from" in done.stderr
    assert "labctl image push FILE" in done.stderr


def test_an_image_that_docker_does_not_have_is_named_with_its_answer(tmp_path: Path) -> None:
    make_lab(tmp_path)
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'reference does not exist' >&2\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    done = labctl(tmp_path, "push", "me/app:v1", path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == ExitCode.HOST
    assert "this host's Docker cannot give the image me/app:v1: reference does not exist" in done.stderr


def test_a_file_is_not_replaced_by_pull(tmp_path: Path) -> None:
    make_lab(tmp_path)
    (tmp_path / "app.tar").write_text("mine")
    done = labctl(tmp_path, "pull", "app", "app.tar")
    assert done.returncode == ExitCode.HOST
    assert "app.tar exists and is not replaced" in done.stderr
    assert (tmp_path / "app.tar").read_text() == "mine"


def test_a_dry_run_says_what_would_be_stored(tmp_path: Path) -> None:
    make_lab(tmp_path)
    (tmp_path / "app.tar").write_text("")
    done = labctl(tmp_path, "push", "app.tar", "--as", "me/app", "--dry-run")
    assert done.returncode == 0
    assert "store app.tar as me/app in the registry on m-k8s" in done.stdout
