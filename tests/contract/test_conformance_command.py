"""What `labctl conformance` refuses before it touches the lab, each with the command that helps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.state import Lab, save_plan
from orchestrator.paths import LabDir, write_private
from tests.contract.test_cli import ROOT
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import PLAN


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab on disk with Kubernetes 1.37.2 whose machines are not there."""
    assert PLAN.kubernetes is not None
    plan = replace(PLAN, owner=str(tmp_path), kubernetes=replace(PLAN.kubernetes, version="1.37.2"))
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    write_private(directory.kubeconfig, "{}")
    return Lab(directory, plan)


def labctl(lab: Lab, *args: str) -> subprocess.CompletedProcess[str]:
    home = Path(lab.plan.owner)
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *args],
        cwd=home,
        env={**os.environ, "LABCTL_OFFLINE": "1", "PYTHONPATH": str(ROOT), "LABCTL_CACHE": str(home / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def add_suite(lab: Lab, program: str) -> None:
    """A suite in the cache whose e2e.test is this shell script."""
    info = make(Path(lab.plan.owner) / "cache" / "bundles" / "conformance-1.37.2-0123456789ab")
    bundle.manifest.write(replace(info, id=info.path.name, kubernetes="1.37.2", kind="conformance"))
    info.program("e2e.test").parent.mkdir(exist_ok=True)
    info.program("e2e.test").write_text(f"#!/bin/sh\n{program}\n")
    info.program("e2e.test").chmod(0o755)


NO_SPEC = 'for word; do case $word in *junit-report=*) echo "<testsuites/>" > "${word#*=}";; esac; done'
ONE_SPEC = NO_SPEC.replace(
    "<testsuites/>", "<testsuites><testcase status='passed' name='[It] [sig-node] Pods work'/></testsuites>"
)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_host_without_the_suite_is_told_how_to_make_it(lab: Lab, options: tuple[str, ...]) -> None:
    done = labctl(lab, "conformance", *options)
    assert done.returncode == 3, done.stderr
    assert "the conformance suite of Kubernetes 1.37.2, with its images, is not in" in done.stderr
    assert "fix: labctl bundle build --conformance --kubernetes 1.37.2" in done.stderr


def test_a_version_without_a_suite_is_named_with_those_that_have_one(lab: Lab) -> None:
    save_plan(lab.directory, PLAN)
    done = labctl(lab, "conformance")
    assert done.returncode == 2, done.stderr
    assert "there is no conformance suite of Kubernetes 1.20.2" in done.stderr
    assert "fix: a lab of 1.37.2" in done.stderr


def test_a_lab_without_a_cluster_is_refused(lab: Lab) -> None:
    lab.directory.kubeconfig.unlink()
    done = labctl(lab, "conformance")
    assert done.returncode == 2, done.stderr
    assert "fix: labctl provision" in done.stderr


def test_a_focus_that_no_spec_fits_is_refused(lab: Lab) -> None:
    add_suite(lab, NO_SPEC)
    done = labctl(lab, "conformance", "--focus", "sig-cloud")
    assert done.returncode == 2, done.stderr
    assert "no conformance spec fits --focus 'sig-cloud'" in done.stderr


def test_a_focus_that_is_no_regular_expression_is_refused_in_the_words_of_the_suite(lab: Lab) -> None:
    add_suite(lab, "echo 'missing closing ]: `[sig`'; exit 1")
    done = labctl(lab, "conformance", "--focus", "[sig")
    assert done.returncode == 2, done.stderr
    assert "missing closing ]" in done.stderr
    assert "--focus and --skip are regular expressions" in done.stderr


def test_a_dry_run_counts_the_specs_and_starts_nothing(lab: Lab) -> None:
    add_suite(lab, ONE_SPEC)
    done = labctl(lab, "conformance", "--procs", "3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "run 1 specs, 3 at a time" in done.stdout
    assert "Nothing was changed." in done.stdout


def test_a_lab_whose_machines_do_not_run_is_refused(lab: Lab) -> None:
    add_suite(lab, ONE_SPEC)
    done = labctl(lab, "conformance", "--progress", "none")
    assert done.returncode in (3, 4), done.stderr
    assert "fix:" in done.stderr


def test_it_waits_for_nobody_who_works_on_the_lab(lab: Lab) -> None:
    add_suite(lab, ONE_SPEC)
    with exclusive_lock(lab.directory, "provision"):
        done = labctl(lab, "conformance")
    assert done.returncode == 8, done.stderr


def test_a_suite_of_a_version_that_nobody_pinned_is_refused(lab: Lab) -> None:
    done = labctl(lab, "bundle", "build", "--conformance", "--kubernetes", "1.20.2")
    assert done.returncode == 2, done.stderr
    assert "no recipe makes a conformance suite of Kubernetes 1.20.2" in done.stderr
    assert "labctl bundle build --conformance --kubernetes VERSION, with one of 1.37.2" in done.stderr


@pytest.mark.parametrize("options", [("--system",), ("--source", "community"), ("--source", "debian")])
def test_a_suite_comes_from_the_go_module_proxy_alone(lab: Lab, options: tuple[str, ...]) -> None:
    done = labctl(lab, "bundle", "build", "--conformance", *options)
    assert done.returncode == 2, done.stderr
    assert "a conformance suite is compiled from the Go module proxy" in done.stderr


def test_an_export_without_an_id_takes_the_bundle_of_labs(lab: Lab) -> None:
    add_suite(lab, NO_SPEC)
    done = labctl(lab, "bundle", "export", "x.tar.gz", "--dry-run")
    assert done.returncode == 2, done.stderr
    assert "the cache has no bundle" in done.stderr
