"""What `labctl packages` promises without machines: who has a bundle, what is in it, and why it cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.errors import HostError
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.package_source import serve_bundle
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import SourcePlan
from orchestrator.paths import LabDir, write_private_copy
from tests.contract.test_cli import ROOT
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import PLAN

BUNDLE = "kubernetes-1.20.2-0123456789ab"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab on disk whose nodes were given the key of a bundle in the cache; its machines are not there."""
    info = make(tmp_path / "cache" / "bundles" / BUNDLE)
    bundle.manifest.write(replace(info, packages={"kubeadm": "1.20.2-1", "tcpdump": "4.99.3-1"}))
    source = SourcePlan(bundle_id=BUNDLE, url="http://192.168.56.1:60080")
    plan = replace(PLAN, owner=str(tmp_path), source=source)
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    write_private_copy(info.key_file, directory.root / "bundle-key.asc")
    return Lab(directory, plan)


def labctl(lab: Lab, *args: str) -> subprocess.CompletedProcess[str]:
    home = Path(lab.plan.owner)
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "packages", *args],
        cwd=home,
        env={**os.environ, "LABCTL_OFFLINE": "1", "PYTHONPATH": str(ROOT), "LABCTL_CACHE": str(home / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_list_has_every_package_with_its_version(lab: Lab) -> None:
    document = json.loads(labctl(lab, "list", "--output", "json").stdout)
    assert document == {
        "schema": "labctl/packages-list/v1",
        "bundle": BUNDLE,
        "packages": {"kubeadm": "1.20.2-1", "tcpdump": "4.99.3-1"},
    }


def test_the_dry_run_names_packages_and_nodes(lab: Lab) -> None:
    done = labctl(lab, "install", "tcpdump", "--on", "w*", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"install tcpdump from {BUNDLE} on w1-k8s" in done.stdout
    assert "m-k8s" not in done.stdout


def test_an_unknown_package_is_answered_with_the_nearest_name(lab: Lab) -> None:
    done = labctl(lab, "install", "tcpdmp")
    assert done.returncode == 2
    assert f"the bundle {BUNDLE} has no package tcpdmp" in done.stderr
    assert "did you mean tcpdump?" in done.stderr


@pytest.mark.parametrize("verb", [["install", "tcpdump"], ["serve"], ["list"]], ids=lambda words: words[0])
def test_a_lab_of_an_earlier_labctl_without_a_bundle_is_told_how_it_gets_one(lab: Lab, verb: list[str]) -> None:
    save_plan(lab.directory, replace(lab.plan, source=SourcePlan()))
    done = labctl(lab, *verb)
    assert done.returncode == 2
    assert "read the community's repositories themselves, as an earlier labctl set them up" in done.stderr
    assert "fix: labctl provision" in done.stderr


@pytest.mark.parametrize("verb", [["install", "tcpdump"], ["serve"], ["list"]], ids=lambda words: words[0])
def test_a_bundle_that_left_the_cache_is_named_with_the_way_back(lab: Lab, verb: list[str]) -> None:
    save_plan(lab.directory, replace(lab.plan, source=replace(lab.plan.source, bundle_id="system-0")))
    done = labctl(lab, *verb)
    assert done.returncode == 3
    assert "the bundle system-0 is not in" in done.stderr
    assert "fix: labctl provision" in done.stderr


def test_a_bundle_that_was_built_again_is_not_offered_to_nodes_that_do_not_trust_it(lab: Lab) -> None:
    (lab.directory.root / "bundle-key.asc").write_text("another key")
    done = labctl(lab, "install", "tcpdump")
    assert done.returncode == 3
    assert f"do not have the key of the bundle {BUNDLE}" in done.stderr
    assert "fix: labctl provision" in done.stderr


@pytest.mark.parametrize("verb", [["install", "tcpdump"], ["serve"]], ids=lambda words: words[0])
def test_machines_that_are_missing_are_named(lab: Lab, verb: list[str]) -> None:
    done = labctl(lab, *verb)
    assert done.returncode in (3, 4), done.stderr
    assert "missing" in done.stderr or "not installed" in done.stderr


@pytest.mark.parametrize("verb", [["install", "tcpdump"], ["serve"]], ids=lambda words: words[0])
def test_one_command_serves_at_a_time(lab: Lab, verb: list[str]) -> None:
    with exclusive_lock(lab.directory, "packages serve"):
        done = labctl(lab, *verb)
    assert done.returncode == 8
    assert "`labctl packages serve` is working on this lab" in done.stderr


def test_a_taken_port_is_named_with_the_command_that_shows_its_owner(lab: Lab, tmp_path: Path) -> None:
    info = bundle.load(tmp_path / "cache" / "bundles" / BUNDLE)
    with bundle.serve(info, "127.0.0.1", 0) as other:
        plan = replace(
            lab.plan,
            network=replace(lab.plan.network, gateway="127.0.0.1"),
            source=replace(lab.plan.source, url=other.url),
        )
        with pytest.raises(HostError, match="cannot be served at") as caught, serve_bundle(info, plan, lab.directory):
            pass
    assert caught.value.fix.startswith("ss -ltnp")
