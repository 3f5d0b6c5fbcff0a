"""The real bundle of system packages: signed, complete for a node without Kubernetes, and with nothing else in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import bundle, debian_mirror, paths, proc
from orchestrator.bundle import BundleInfo, recipes
from orchestrator.bundle.root import BuildRoot
from orchestrator.events import discard
from tests.package_managers import dnf_root, private_apt

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a Debian root in a test takes root"),
]


@pytest.fixture(scope="module")
def built() -> BundleInfo:
    return bundle.build(paths.cache_dir(), recipes.load("system"), discard, "bundle")


@pytest.fixture(scope="module")
def served(built: BundleInfo) -> Iterator[bundle.Served]:
    with bundle.serve(built, "127.0.0.1", 0) as server:
        yield server


def test_it_is_what_its_manifest_says(built: BundleInfo) -> None:
    assert bundle.verify(built) == []
    assert built.id == recipes.load("system").id


def test_it_has_repositories_and_their_key_and_nothing_of_kubernetes(built: BundleInfo) -> None:
    assert {file.path.split("/")[0] for file in built.files} == {"apt", "rpm", "key.asc"}
    assert built.kubernetes == ""
    assert not {"kubeadm", "kubelet", "kubectl"} & set(built.packages)


def test_everything_a_node_may_ask_for_can_be_installed(
    built: BundleInfo, served: bundle.Served, tmp_path: Path
) -> None:
    apt = private_apt(tmp_path, served.apt_url, built.key_file)
    proc.run([*apt, "update", "-qq"])
    wanted = recipes.load("system").node_packages
    simulated = proc.run([*apt, "install", "--simulate", "--no-install-recommends", *wanted])
    assert all(f"Inst {name} (" in simulated.stdout for name in wanted)


def test_a_node_is_made_of_its_signed_repository_alone(
    built: BundleInfo, served: bundle.Served, tmp_path: Path
) -> None:
    root = BuildRoot(tmp_path / "debian", tmp_path / "debian.log")
    source = f"deb [signed-by={built.key_file}] {served.apt_url} ./"
    argv = ["mmdebstrap", "--mode=root", "--variant=apt", "--include=tcpdump,systemd-sysv", "labctl"]
    try:
        proc.run([*argv, str(root.path), source], timeout=300)
        assert "tcpdump version" in root.read(["/bin/sh", "-c", "tcpdump --version 2>&1"])
    finally:
        root.remove()


def test_a_foreign_key_is_refused(served: bundle.Served, tmp_path: Path) -> None:
    apt = private_apt(tmp_path, served.apt_url, debian_mirror.DEFAULT_KEYRING)
    assert not proc.run([*apt, "update", "-qq"], check=False).ok


def test_dnf_reads_the_empty_repository_with_all_checks_on(
    built: BundleInfo, served: bundle.Served, tmp_path: Path
) -> None:
    with dnf_root(tmp_path / "dnf", built, served) as root:
        root.run(["dnf", "--assumeyes", "--releasever=9", "makecache"])
        assert root.read(["dnf", "--releasever=9", "repoquery", "--all", "--quiet"]).strip() == ""
