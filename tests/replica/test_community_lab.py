"""A lab from the community's repositories, as a new user makes it; then the same lab where nothing can be reached."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.replica.conftest import ROOT, Internet, served
from tests.selection.labs import record_lab

pytestmark = pytest.mark.real

# The pod network for which the replica has images: nobody serves Calico's to it.
LAB = "version: 1\nname: community\nworkers: {count: 1}\nkubernetes: {cni: bridge_cni}\n"
PROBE = 20_000  # bytes: the key of a repository, asked for to see whether it answers


@dataclass
class User:
    """Somebody in a namespace, with a cache of their own."""

    internet: Internet
    home: Path

    def run(self, *words: str, timeout: float = 1500) -> subprocess.CompletedProcess[str]:
        lab = ("--lab", str(self.home / "lab.yml")) if words[0] not in ("bundle", "cache") else ()
        settings = {"LABCTL_CACHE": str(self.home / "cache")}
        return self.internet.run(str(ROOT / "labctl"), *words[:1], *lab, *words[1:], settings=settings, timeout=timeout)

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    def on_worker(self, command: str) -> str:
        return self.ok("exec", "--on", "w1-k8s", "--", "sudo", "sh", "-c", command)


def user_in(internet: Internet, home: Path) -> User:
    home.mkdir(parents=True, exist_ok=True)
    (home / "lab.yml").write_text(LAB, encoding="utf-8")
    return User(internet, home)


@pytest.fixture(scope="module")
def connected(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = user_in(internet, tmp_path_factory.mktemp("connected"))
    try:
        user.ok("provision", "--packages", "community", "--yes")
        yield user
    finally:
        user.run("destroy", "--yes")


def test_the_lab_is_verified(connected: User) -> None:
    assert "healthy" in connected.ok("verify")
    record_lab(connected.home, __file__, "against the replica of the community's sites, not against themselves")


def test_its_packages_are_those_of_the_community(connected: User) -> None:
    listing = connected.on_worker("dpkg-query -W -f '${Package} ${Version}\\n' kubelet kubeadm containerd.io")
    assert "kubelet 1.37.2-1.1" in listing
    assert re.search(r"containerd.io \d+\.\d+\.\d+-1~debian\.12~bookworm", listing)


def test_nodes_read_the_bundle_alone(connected: User) -> None:
    sources = connected.on_worker("cat /etc/apt/sources.list.d/*; containerd config dump | grep -c certs.d || true")
    assert "http://192.168.56.1:60080/apt" in sources
    assert "pkgs.k8s.io" not in sources
    assert not [path for path in connected.internet.replica.asked if "kubelet_" in path and path.count("deb") > 9]


def test_what_was_fetched_is_recorded_with_its_digests(connected: User) -> None:
    [file] = (connected.home / "cache" / "bundles").glob("kubernetes-*/manifest.json")
    digests = json.loads(file.read_text(encoding="utf-8"))["digests"]
    assert len(digests["registry.k8s.io/kube-apiserver:v1.37.2"]) == 64
    assert json.loads((connected.home / "cache" / "known.json").read_text(encoding="utf-8")).items() >= digests.items()


def test_every_layer_was_fetched_once_for_all_nodes(connected: User) -> None:
    layers = [path for path in connected.internet.replica.asked if "/blobs/sha256:" in path and "pkg.dev" in path]
    assert len(layers) == len(set(layers))


def test_a_second_lab_from_the_same_source_takes_nothing_from_outside(connected: User) -> None:
    before = connected.internet.replica.total
    connected.ok("destroy", "--yes")
    connected.ok("provision", "--packages", "community", "--yes")
    assert connected.internet.replica.total == before


def test_the_exported_bundle_makes_the_lab_where_nothing_can_be_reached(
    connected: User, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("closed")
    connected.ok("bundle", "export", str(place / "community.tar.gz"))
    connected.ok("destroy", "--yes")
    with served(site, place, names=(), with_mirror=False) as nothing:
        user = user_in(nothing, place / "home")
        user.ok("bundle", "import", str(place / "community.tar.gz"))
        try:
            user.ok("provision", "--packages", "bundle", "--yes")
            assert "healthy" in user.ok("verify")
        finally:
            user.run("destroy", "--yes")
        assert nothing.replica.asked == []
