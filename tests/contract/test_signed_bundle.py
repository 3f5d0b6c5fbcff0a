"""A lab that requires a signature takes the bundle that has it, and no other, before any machine is made."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.bundle import BundleInfo, manifest, recipes
from orchestrator.errors import HostError
from orchestrator.events import discard
from orchestrator.lab.package_source import ensure_source
from orchestrator.model import SourcePlan
from tests.contract.test_cli import labctl
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import PLAN

SIGNED = "kubernetes-1.37.2-0123456789ab"
# Machines that exist: what other labs take of this host does not matter to them.
HOSTS = "".join(f"    - admin@10.9.0.1{number} SHA256:{'A' * 43}\n" for number in range(4))
LAB = f"""provider: static
network: {{subnet: 10.9.0.0/24}}
static:
  hosts:
{HOSTS}kubernetes: {{version: "1.37.2"}}
packages:
  source: bundle
  signed_by: school.pub
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "school")


def make_key(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True, timeout=60)
    return file


def cached(home: Path, bundle_id: str = SIGNED) -> BundleInfo:
    """A bundle in the cache, with what a plan asks of one."""
    info = make(home / "cache" / "bundles" / bundle_id, bundle_id, "1.37.2")
    packages = {"kubeadm": "1.37.2-1", "cri-tools": "1.37.0-1"}
    images, components = ("registry.k8s.io/coredns/coredns:v1.14.6",), {"containerd": "2.4.0"}
    info = replace(info, packages=packages, images=images, components=components)
    manifest.write(info)
    return info


@pytest.mark.parametrize("verb", [["plan"], ["provision", "--yes"]], ids=" ".join)
@pytest.mark.parametrize(
    ("case", "what", "fix"),
    [
        ("unsigned", f"{SIGNED} has no signature", f"labctl bundle sign --bundle {SIGNED} --key KEY"),
        ("another key", f"{SIGNED} is signed by another key (SHA256:", "ask who made it"),
        ("changed", f"{SIGNED} was changed after it was signed", "labctl bundle import FILE --key"),
        ("none", "there is no bundle in the cache", "labctl bundle import FILE"),
    ],
)
def test_a_bundle_without_the_required_signature_is_refused(
    tmp_path: Path, key: Path, verb: list[str], case: str, what: str, fix: str
) -> None:
    info = cached(tmp_path) if case != "none" else None
    if info and case == "changed":
        bundle.sign(info, key)
        manifest.write(replace(info, key_fingerprint="EVIL"))
    if info and case == "another key":
        bundle.sign(info, make_key(tmp_path / "stranger"))
    done = labctl(*verb, cwd=tmp_path, lab=LAB)
    assert done.returncode == 3, done.stdout + done.stderr
    assert what in done.stderr
    assert fix in done.stderr
    assert done.stderr.count("fix:") == 1
    assert not (tmp_path / ".labctl" / "k8s-lab" / "plan.json").exists()


def test_one_that_would_be_made_here_is_refused(tmp_path: Path, key: Path) -> None:
    lab = LAB.replace("source: bundle", "source: debian").replace("1.37.2", "1.20.2")
    done = labctl("plan", cwd=tmp_path, lab=lab)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "one that is made here has no signature yet" in done.stderr
    assert "`labctl bundle sign --key KEY`" in done.stderr


def test_of_several_bundles_the_signed_one_is_taken(tmp_path: Path, key: Path) -> None:
    bundle.sign(cached(tmp_path), key)
    cached(tmp_path, "kubernetes-1.37.2-fedcba987654")
    done = labctl("plan", "--output", "json", cwd=tmp_path, lab=LAB)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["source"]["bundle_id"] == SIGNED
    assert plan["source"]["signed_by"] == str(tmp_path / "school.pub")
    assert {"packages.signed_by": "school.pub"}.items() <= {d["field"]: d["value"] for d in plan["decisions"]}.items()


@pytest.mark.parametrize(("name", "what"), [("missing.pub", "cannot be read: No such file"), ("school", "is not a")])
def test_what_is_no_public_key_is_named(tmp_path: Path, key: Path, name: str, what: str) -> None:
    cached(tmp_path)
    done = labctl("plan", cwd=tmp_path, lab=LAB.replace("school.pub", name))
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path / name} {what}" in done.stderr
    assert ".pub file" in done.stderr


def test_a_signed_bundle_whose_file_changed_is_refused_and_not_made_again(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    info = cached(tmp_path, recipes.load("modules", "1.37").id)
    bundle.sign(info, key)
    plan = replace(PLAN, source=SourcePlan(bundle_id=info.id, signed_by=str(key.with_suffix(".pub"))))
    ensure_source(plan, discard)
    info.image_archive.write_bytes(b"other")
    with pytest.raises(HostError, match="is damaged") as caught:
        ensure_source(plan, discard)
    assert "labctl bundle import FILE" in caught.value.fix


def test_a_lab_that_exists_takes_nothing_from_a_bundle_that_lost_its_signature(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    info = cached(tmp_path)
    plan = replace(PLAN, source=SourcePlan(bundle_id=info.id, signed_by=str(key.with_suffix(".pub"))))
    with pytest.raises(HostError, match="has no signature"):
        ensure_source(plan, discard)
