"""What the community publishes for one lab, as a recipe: repositories, images and manifests, and whom to trust."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.addresses import THEMSELVES, Addresses
from orchestrator.bundle import recipes
from orchestrator.bundle.recipe import Archive, Recipe, Upstream
from orchestrator.catalog import Catalog
from orchestrator.catalog.facts import Calico, Guest, Repository
from orchestrator.catalog.versions import minor, within
from orchestrator.errors import SpecError
from orchestrator.model import BundleOrigin, Cni, Runtime

# A file that names what to trust in the place of the catalog and the system: for repositories signed by yourself.
TRUST_SETTING = "LABCTL_TRUST"


def trusted(environ: Mapping[str, str] = os.environ) -> Addresses:
    """The community's own addresses, with the trust anchors of the file that LABCTL_TRUST names.

    Raises SpecError for a file that cannot be read.
    """
    name = environ.get(TRUST_SETTING, "")
    if not name:
        return THEMSELVES
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        body = YAML(typ="safe", pure=True).load(Path(name).read_text(encoding="utf-8"))
        if not isinstance(body, dict) or not set(body) <= {"ca", "keys", "sums"}:
            raise ValueError("it may have ca, keys and sums")
    except (OSError, ValueError, YAMLError) as error:
        raise SpecError(f"{TRUST_SETTING}={name} cannot be used: {error}", fix=f"unset {TRUST_SETTING}") from None
    return Addresses(**body)


# What downloads rpms, beside the tools of every bundle.
_DNF = ("dnf", "dnf-plugins-core")


@dataclass(frozen=True)
class Wish:
    """What a lab wants of the community: version in full, guest, runtime, pod network (auto: Calico where one fits)."""

    version: str
    guest: str
    runtime: Runtime = "containerd"
    cni: Cni | None = None


def community(
    wish: Wish,
    catalog: Catalog,
    addresses: Addresses = THEMSELVES,
    origin: BundleOrigin = "community",
    directory: Path | None = None,
) -> Recipe:
    """The recipe of what the community, or a mirror of it, has for a lab."""
    base = recipes.load("community", directory=directory)
    guest, release = catalog.guest(wish.guest), catalog.release(wish.version)
    assert guest is not None
    assert release is not None
    calico = calico_for(wish, catalog)
    adapter = _cri_dockerd(catalog) if wish.runtime == "docker" and not release.dockershim else None
    upstream = Upstream(
        guest=wish.guest,
        family=guest.family,
        repositories=_repositories(wish, catalog, guest),
        images=() if calico or wish.cni == "none" else (catalog.community.network_policy_image,),
        calico=Archive(f"calico-{calico.version}", calico.manifest, calico.sha256) if calico else None,
        cri_dockerd=adapter,
        addresses=addresses,
    )
    return replace(
        base,
        origin=origin,
        kubernetes=wish.version,
        upstream=upstream,
        # The operating system's packages are those of the build root's system, of use to no other.
        node_packages=base.node_packages if wish.guest == "debian-12" else (),
        packages=base.packages if adapter else (),
        tools=(*base.tools, *(_DNF if guest.family == "redhat" else ())),
        versions={"cri_dockerd": catalog.cri_dockerd_version} if adapter else {},
    )


def _repositories(wish: Wish, catalog: Catalog, guest: Guest) -> tuple[Repository, ...]:
    names = {"minor": minor(wish.version), "newest": catalog.community_releases[-1].minor, **guest.release}
    return tuple(
        replace(
            one,
            url=one.url.format(**names),
            suite=one.suite.format(**names),
            key_url=one.key_url.format(**names),
            packages=(*one.packages, *(one.docker_packages if wish.runtime == "docker" else ())),
        )
        for one in catalog.community.repositories[guest.family]
    )


def _cri_dockerd(catalog: Catalog) -> Archive:
    version = catalog.cri_dockerd_version
    url = catalog.community.cri_dockerd.format(version=version)
    return Archive(f"cri-dockerd-{version}", url, catalog.cri_dockerd_sha256)


def calico_for(wish: Wish, catalog: Catalog) -> Calico | None:
    """The newest Calico for the version, unless another pod network is wanted."""
    if wish.cni not in (None, "calico"):
        return None
    return next((one for one in catalog.calico if within(wish.version, one.kubernetes)), None)
