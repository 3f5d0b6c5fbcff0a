"""Reads the catalog's data files into typed facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from orchestrator.catalog.versions import number, within


@dataclass(frozen=True)
class Release:
    """One Kubernetes minor: what it needs and how it is configured.

    `newest_patch` is the newest patch release seen; `final` says that no later one will come. `node_grace_period` is
    after how many seconds without a sign of life a node is called NotReady.
    """

    minor: str
    newest_patch: str
    final: bool
    config_api: str
    extra_args_as_list: bool
    role_labels: tuple[str, ...]
    taints: tuple[str, ...]
    node_grace_period: int
    dockershim: bool
    cgroup_modes: tuple[str, ...]
    allow_cgroup_v1: bool
    cri_dockerd_gates_off: tuple[str, ...]
    cgroup_driver: str
    minimum_kernel: str
    minimum_containerd: str
    coredns_path: str
    pause: str
    community: bool


@dataclass(frozen=True)
class Guest:
    """A guest system; `refused` says why it cannot be set up when `converge` is False. `box` is Vagrant's name.

    `release` has the words by which Docker's repositories name it: distribution and codename, or major.
    """

    name: str
    title: str
    family: str
    box: str
    url: str | None
    sha256: str | None
    python: str
    kernel: str
    containerd: str
    cgroup: str
    providers: tuple[str, ...]
    converge: bool
    checked: str
    release: Mapping[str, str]
    refused: str = ""
    nearest: str = ""


@dataclass(frozen=True)
class Calico:
    """A Calico release for a range of Kubernetes minors; `sha256` of its manifest is None while nobody computed it."""

    version: str
    kubernetes: str
    minimum_kernel: str
    sha256: str | None
    checked: str
    manifest: str


@dataclass(frozen=True)
class Repository:
    """A package repository for one family of systems; its URLs have {minor}, {newest} and words of a guest in them.

    `fingerprint` is that of the only key that may sign it. `suite` is apt's, empty for dnf. Without `signed_index` the
    packages alone are signed.
    """

    name: str
    url: str
    key_url: str
    fingerprint: str
    packages: tuple[str, ...]
    docker_packages: tuple[str, ...] = ()
    suite: str = ""
    signed_index: bool = True


@dataclass(frozen=True)
class Community:
    """What the community publishes: repositories by family of systems, and what is no package.

    `containerd` is the least version there; `cri_dockerd` is the URL of its archive with {version} in it.
    """

    repositories: Mapping[str, tuple[Repository, ...]]
    containerd: str
    network_policy_image: str
    cri_dockerd: str


@dataclass(frozen=True)
class Catalog:
    """All facts; `releases` oldest first, `calico` newest first."""

    releases: tuple[Release, ...]
    guests: tuple[Guest, ...]
    calico: tuple[Calico, ...]
    community: Community
    image_registry: str
    cri_sockets: Mapping[str, str]
    cri_dockerd_version: str
    cri_dockerd_sha256: str | None
    cgroup_driver_in_v1_containers: str
    bundle_port: int

    def release(self, version: str) -> Release | None:
        """The release that `1.20` or `1.20.2` belongs to."""
        requested = number(version)[:2]
        return next((release for release in self.releases if number(release.minor) == requested), None)

    def guest(self, name: str) -> Guest | None:
        """The guest of that name."""
        return next((guest for guest in self.guests if guest.name == name), None)

    @property
    def community_releases(self) -> tuple[Release, ...]:
        return tuple(release for release in self.releases if release.community)


def read_data(name: str) -> Any:
    """The content of `catalog/data/<name>`."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(read_text(name))


def read_text(name: str) -> str:
    """The text of `catalog/data/<name>`."""
    return files("orchestrator.catalog").joinpath("data", name).read_text(encoding="utf-8")


@cache
def load() -> Catalog:
    """The catalog that ships with labctl."""
    releases, cni, sources = read_data("releases.yml"), read_data("cni.yml"), read_data("package_sources.yml")
    community = sources["community"]
    return Catalog(
        releases=tuple(_releases(releases, community["kubernetes"])),
        guests=tuple(
            Guest(name=name, **{**body, "providers": tuple(body["providers"])})
            for name, body in read_data("guests.yml").items()
        ),
        calico=tuple(
            Calico(manifest=cni["calico"]["manifest"].format(version=row["version"]), **row)
            for row in cni["calico"]["versions"]
        ),
        community=_community(community),
        image_registry=releases["image_registry"],
        cri_sockets=releases["cri_sockets"],
        cri_dockerd_version=releases["cri_dockerd"]["version"],
        cri_dockerd_sha256=releases["cri_dockerd"]["sha256"],
        cgroup_driver_in_v1_containers=releases["cgroup_driver_in_v1_containers"],
        bundle_port=sources["bundle"]["port"],
    )


def _community(data: Mapping[str, Any]) -> Community:
    families = {
        family: tuple(
            Repository(
                name=row["name"],
                packages=tuple(row["packages"]),
                docker_packages=tuple(row.get("docker_packages", ())),
                **row[family],
            )
            for row in data["repositories"]
            if family in row
        )
        for family in ("debian", "redhat")
    }
    return Community(families, data["containerd"], data["network_policy_image"], data["cri_dockerd"])


def _releases(data: Mapping[str, Any], community: str) -> list[Release]:
    first, last = number(data["first"])[1], number(data["last"])[1]
    return [_release(f"1.{minor}", data, community) for minor in range(first, last + 1)]


def _release(minor: str, data: Mapping[str, Any], community: str) -> Release:
    def fact(name: str) -> Any:
        matches = [value for limits, value in data["facts"][name]["values"].items() if within(minor, limits)]
        if len(matches) != 1:
            raise ValueError(f"releases.yml: {name} has {len(matches)} values for {minor}, not one")
        return tuple(matches[0]) if isinstance(matches[0], list) else matches[0]

    return Release(
        minor=minor,
        newest_patch=data["newest_patch"].get(minor, f"{minor}.0"),
        final=minor in data["newest_patch"] and not within(minor, data["supported"]),
        community=within(minor, community),
        **{name: fact(name) for name in data["facts"]},
    )
