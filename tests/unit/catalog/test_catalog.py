"""The facts of the catalog, and which combinations it resolves or refuses."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import Any, get_args, get_type_hints

import pytest

from orchestrator import catalog
from orchestrator.catalog import Refusal, Request, Resolution, facts, resolve
from orchestrator.catalog.facts import read_data
from orchestrator.catalog.versions import at_least, minor, number, within
from orchestrator.spec.schema import Mirror

BOOK = Request("1.20.2", "docker", "debian-12", "container", kernel="6.1.0", cgroup="v1", shared_kernel=True)


def resolved(request: Request) -> Resolution:
    found = resolve(request, catalog.load())
    assert isinstance(found, Resolution), found
    return found


NEWEST = max(catalog.load().releases, key=lambda release: int(release.minor.split(".")[1]))


def refusals(request: Request) -> tuple[Refusal, ...]:
    found = resolve(request, catalog.load())
    assert not isinstance(found, Resolution)
    return found


def test_it_knows_every_minor_from_1_18_to_the_newest() -> None:
    minors = [release.minor for release in catalog.load().releases]
    assert len(minors) >= 20
    assert minors == [f"1.{number}" for number in range(18, 18 + len(minors))]


@pytest.mark.parametrize(
    ("version", "config_api", "as_list", "labels", "taints"),
    [
        ("1.18", "v1beta2", False, ["master"], ["master"]),
        ("1.20", "v1beta2", False, ["master", "control-plane"], ["master"]),
        ("1.22", "v1beta3", False, ["master", "control-plane"], ["master"]),
        ("1.24", "v1beta3", False, ["control-plane"], ["master", "control-plane"]),
        ("1.25", "v1beta3", False, ["control-plane"], ["control-plane"]),
        ("1.31", "v1beta4", True, ["control-plane"], ["control-plane"]),
        ("1.37", "v1beta4", True, ["control-plane"], ["control-plane"]),
    ],
)
def test_what_kubeadm_reads_and_sets(
    version: str, config_api: str, as_list: bool, labels: list[str], taints: list[str]
) -> None:
    release = catalog.load().release(version)
    assert release is not None
    assert release.config_api == f"kubeadm.k8s.io/{config_api}"
    assert release.extra_args_as_list is as_list
    assert list(release.role_labels) == [f"node-role.kubernetes.io/{label}" for label in labels]
    assert list(release.taints) == [f"node-role.kubernetes.io/{taint}:NoSchedule" for taint in taints]


@pytest.mark.parametrize(
    ("version", "runtime", "socket"),
    [
        ("1.20.2", "docker", "/var/run/dockershim.sock"),
        ("1.30.1", "docker", "unix:///var/run/cri-dockerd.sock"),
        ("1.30.1", "containerd", "unix:///run/containerd/containerd.sock"),
    ],
)
def test_where_the_kubelet_finds_its_runtime(version: str, runtime: str, socket: str) -> None:
    assert resolved(replace(BOOK, version=version, runtime=runtime, cri_dockerd=True)).cri_socket == socket


@pytest.mark.parametrize(
    ("change", "field", "reason", "nearest"),
    [
        ({"version": "1.24.1"}, "kubernetes.runtime", "dockershim", "containerd"),
        (
            {"version": "1.36.4", "runtime": "containerd", "cgroup": "v2"},
            "kubernetes.version",
            "containerd 2.0",
            "1.35.8",
        ),
        ({"version": "1.18.20", "cgroup": "v2"}, "kubernetes.version", "cgroup v2", "1.19.16"),
        ({"version": "1.33.0", "kernel": "3.10.0", "runtime": "containerd"}, "kubernetes.version", "4.19", "1.31.0"),
        ({"cni": "calico", "version": "1.22.1"}, "kubernetes.cni", "no Calico", "bridge_cni"),
        (
            {"cni": "calico", "version": "1.30.1", "runtime": "containerd", "kernel": "4.19"},
            "kubernetes.cni",
            "5.10",
            "bri",
        ),
        ({"guest": "rocky-10", "provider": "libvirt"}, "guest", "iptables", "rocky-9"),
        ({"version": "1.50"}, "kubernetes.version", f"1.18 to {NEWEST.minor}", NEWEST.newest_patch),
    ],
)
def test_a_combination_that_cannot_work_is_refused(
    change: dict[str, Any], field: str, reason: str, nearest: str
) -> None:
    found = refusals(replace(BOOK, **change))
    assert len(found) == 1, found
    assert found[0].field == field
    assert reason in found[0].reason
    assert nearest in found[0].nearest


def test_the_nearest_version_it_names_really_resolves() -> None:
    for release in catalog.load().releases:
        for cgroup in ("v1", "v2"):
            request = replace(BOOK, version=release.newest_patch, runtime="containerd", cgroup=cgroup)
            found = resolve(request, catalog.load())
            if isinstance(found, Resolution):
                continue
            resolved(replace(request, version=found[0].nearest.split('"')[1]))


def test_checksums_are_null_until_somebody_computed_them() -> None:
    sums = [item.sha256 for item in catalog.load().calico] + [guest.sha256 for guest in catalog.load().guests]
    assert all(item is None or len(item) == 64 for item in sums)


def test_every_fact_names_its_source_and_how_it_was_checked() -> None:
    text = files("orchestrator.catalog").joinpath("data", "releases.yml").read_text(encoding="utf-8")
    facts = read_data("releases.yml")["facts"]
    assert all(fact["checked"] in ("a", "b", "executed") for fact in facts.values())
    for name in facts:
        block = text.split(f"\n  {name}:\n")[1].split("values:")[0]
        assert "# Source" in block, name


def test_every_guest_says_why_when_it_cannot_be_set_up() -> None:
    known = catalog.load()
    for guest in known.guests:
        if not guest.converge:
            assert guest.refused
            assert known.guest(guest.nearest)


class TestRepositories:
    def test_one_may_be_there_for_a_single_family(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sources = read_data("package_sources.yml")
        apt = {"url": "https://apt.example/", "suite": "/", "key_url": "https://apt.example/key", "fingerprint": "AB"}
        sources["community"]["repositories"].append({"name": "extra", "debian": apt, "packages": ["extra"]})
        read = {"package_sources.yml": sources}
        monkeypatch.setattr(facts, "read_data", lambda name: read.get(name) or read_data(name))
        found = facts.load.__wrapped__().community.repositories
        names = {family: [one.name for one in repositories] for family, repositories in found.items()}
        assert "extra" in names["debian"]
        assert "extra" not in names["redhat"]

    def test_the_keys_of_a_mirror_are_named_after_them(self) -> None:
        names = get_args(get_args(get_type_hints(Mirror)["keys"])[0])
        every = catalog.load().community.repositories.values()
        assert set(names) == {one.name for repositories in every for one in repositories}


class TestVersions:
    def test_numbers_compare_as_numbers(self) -> None:
        assert number("1.9") < number("1.10")
        assert at_least("6.1.0-13-amd64", "5.10")
        assert not at_least("3.10.0-1160.el7", "4.19")

    def test_ranges_speak_of_minors(self) -> None:
        assert within("1.23.17", "1.18-1.23")
        assert not within("1.24.0", "1.18-1.23")
        assert within("1.99.0", "1.31-")
        assert minor("1.20.2") == "1.20"

    def test_no_number_is_no_version(self) -> None:
        with pytest.raises(ValueError, match="not a version"):
            number("latest")
