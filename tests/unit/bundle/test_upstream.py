"""What would be fetched for a lab, and from which addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import bundle, catalog
from orchestrator.addresses import THEMSELVES, Addresses
from orchestrator.bundle import Wish
from orchestrator.bundle.community import images_in
from orchestrator.bundle.recipe import Upstream
from orchestrator.bundle.registry import Reference
from orchestrator.bundle.upstream_packages import fingerprints
from orchestrator.errors import SpecError


def upstream(wish: Wish, addresses: Addresses = THEMSELVES) -> Upstream:
    found = bundle.community(wish, catalog.load(), addresses).upstream
    assert found is not None
    return found


def test_a_debian_guest_gets_its_own_repositories_and_the_newest_key() -> None:
    found = {one.name: one for one in upstream(Wish("1.34.11", "debian-13")).repositories}
    kubernetes, docker = found["kubernetes"], found["docker"]
    assert kubernetes.url == "https://pkgs.k8s.io/core:/stable:/v1.34/deb/"
    assert kubernetes.key_url == "https://pkgs.k8s.io/core:/stable:/v1.37/deb/Release.key"
    assert (docker.url, docker.suite) == ("https://download.docker.com/linux/debian", "trixie stable")
    assert docker.packages == ("containerd.io",)


def test_a_redhat_guest_gets_rpms() -> None:
    found = {one.name: one for one in upstream(Wish("1.37.2", "rocky-9")).repositories}
    kubernetes, docker = found["kubernetes"], found["docker"]
    assert kubernetes.url == "https://pkgs.k8s.io/core:/stable:/v1.37/rpm/"
    assert docker.url == "https://download.docker.com/linux/centos/9/x86_64/stable"
    assert not docker.signed_index


def test_docker_comes_with_its_interface_whose_sum_nobody_knows() -> None:
    found = upstream(Wish("1.37.2", "debian-12", "docker"))
    docker = next(one for one in found.repositories if one.name == "docker")
    assert docker.packages == ("containerd.io", "docker-ce", "docker-ce-cli")
    assert found.cri_dockerd is not None
    assert found.cri_dockerd.sha256 is None


@pytest.mark.parametrize(
    ("cni", "calico", "images"),
    [(None, "calico-3.32.1", 0), ("calico", "calico-3.32.1", 0), ("bridge_cni", "", 1), ("none", "", 0)],
)
def test_the_pod_network_decides_what_goes_with_it(cni: str | None, calico: str, images: int) -> None:
    found = upstream(Wish("1.37.2", "debian-12", cni=cni))  # type: ignore[arg-type]
    assert (found.calico.name if found.calico else "") == calico
    assert len(found.images) == images


def test_the_bundle_has_another_id_for_all_that_changes_it() -> None:
    wishes = [
        Wish("1.37.2", "debian-12"),
        Wish("1.37.1", "debian-12"),
        Wish("1.37.2", "debian-13"),
        Wish("1.37.2", "debian-12", "docker"),
        Wish("1.37.2", "debian-12", cni="bridge_cni"),
    ]
    ids = [bundle.community(wish, catalog.load()).id for wish in wishes]
    ids.append(bundle.community(wishes[0], catalog.load(), Addresses(url="https://mirror.example"), "mirror").id)
    assert len(set(ids)) == len(ids)


class TestAddresses:
    URL = "https://pkgs.k8s.io/core:/stable:/v1.37/deb/"

    def test_a_mirror_has_every_host_below_its_own_name(self) -> None:
        place = Addresses(url="https://mirror.example/all").place(self.URL)
        assert place == "https://mirror.example/all/pkgs.k8s.io/core:/stable:/v1.37/deb/"

    def test_single_hosts_may_lie_elsewhere(self) -> None:
        some = Addresses(hosts={"pkgs.k8s.io": "https://k8s.example/"})
        assert some.place(self.URL) == "https://k8s.example/core:/stable:/v1.37/deb/"
        assert some.place("https://quay.io/x") == "https://quay.io/x"


class TestTrust:
    def test_a_file_may_name_other_anchors(self, tmp_path: Path) -> None:
        (tmp_path / "trust.yml").write_text("ca: /ca.pem\nkeys: {kubernetes: ABCD}\n")
        assert bundle.trusted({"LABCTL_TRUST": str(tmp_path / "trust.yml")}).keys == {"kubernetes": "ABCD"}
        assert bundle.trusted({}) == THEMSELVES

    @pytest.mark.parametrize("text", ["hosts: {a: b}", "- x", "{"])
    def test_another_file_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "trust.yml").write_text(text)
        with pytest.raises(SpecError, match="cannot be used"):
            bundle.trusted({"LABCTL_TRUST": str(tmp_path / "trust.yml")})


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx:1", "docker.io/library/nginx:1"),
        ("labctl/shell:1", "docker.io/labctl/shell:1"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost:5000/a/b:2", "localhost:5000/a/b:2"),
    ],
)
def test_references_are_read_as_docker_reads_them(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


def test_the_images_of_a_manifest_are_found_once_each() -> None:
    text = '  image: quay.io/calico/cni:v3\n- image: "quay.io/calico/node:v3"\n  image: quay.io/calico/cni:v3\n'
    assert images_in(text) == ["quay.io/calico/cni:v3", "quay.io/calico/node:v3"]


def test_of_a_listing_of_keys_the_primary_ones_count() -> None:
    rows = [
        "pub:e:2048:1:A:1:86400:::",
        "fpr:::::::::AAAA:",
        "sub:-:2048:1:B:1::::",
        "fpr:::::::::BBBB:",
        "pub:-:1:1:C:1::::",
        "fpr:::::::::CCCC:",
    ]
    assert fingerprints("\n".join(rows)) == {"AAAA": "1970-01-02", "CCCC": ""}
