"""Resolves a combination of version, runtime, guest and pod network, or refuses it with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.catalog.facts import Calico, Catalog, Release
from orchestrator.catalog.versions import at_least, minor, number, within

Purpose = Literal["converge", "create", "render"]


@dataclass(frozen=True)
class Request:
    """A combination; `kernel` and `cgroup` are those of the nodes (of the host, for containers).

    `cri_dockerd` says that the package source carries it; `containerd` is the version the source has, empty for the one
    that the guest's own repositories have. `shared_kernel` says that the nodes run on the kernel of their host.
    """

    version: str
    runtime: str
    guest: str
    provider: str
    kernel: str
    cgroup: str
    cni: str = "bridge_cni"
    cri_dockerd: bool = False
    containerd: str = ""
    purpose: Purpose = "converge"
    shared_kernel: bool = False

    @property
    def nested_v1(self) -> bool:
        """Whether each node's control groups lie inside those of a host with version 1."""
        return self.shared_kernel and self.cgroup == "v1"


@dataclass(frozen=True)
class Resolution:
    """What follows from a combination that works; `calico` is None when no version is known, `calico_refused` why."""

    release: Release
    cri_socket: str
    cgroup_driver: str
    pause_image: str
    cri_dockerd_version: str | None
    calico: Calico | None
    calico_refused: str


@dataclass(frozen=True)
class Refusal:
    """Why a combination cannot work: the field to change, the reason, and the nearest combination that works."""

    field: str
    reason: str
    nearest: str


def resolve(request: Request, catalog: Catalog) -> Resolution | tuple[Refusal, ...]:
    """What follows from `request`, or every reason why it cannot work."""
    refusals = tuple(_refusals(request, catalog))
    if refusals:
        return refusals
    release = catalog.release(request.version)
    assert release is not None
    calico, calico_refused = _calico(request, catalog)
    needs_cri_dockerd = request.runtime == "docker" and not release.dockershim
    socket = request.runtime if request.runtime == "containerd" else "dockershim"
    return Resolution(
        release=release,
        cri_socket=catalog.cri_sockets["cri_dockerd" if needs_cri_dockerd else socket],
        cgroup_driver=catalog.cgroup_driver_in_v1_containers if request.nested_v1 else release.cgroup_driver,
        pause_image=f"pause:{release.pause}",
        cri_dockerd_version=catalog.cri_dockerd_version if needs_cri_dockerd else None,
        calico=calico,
        calico_refused=calico_refused,
    )


def _refusals(request: Request, catalog: Catalog) -> Iterator[Refusal]:
    yield from guest_refusals(request.guest, request.provider, request.purpose, catalog)
    release = catalog.release(request.version)
    if release is None:
        yield unknown_version(request.version, catalog)
        return
    if request.runtime == "docker" and not release.dockershim and not request.cri_dockerd:
        yield Refusal(
            "kubernetes.runtime",
            f"Kubernetes {release.minor} has no dockershim (it ended with 1.23) and Docker would need cri-dockerd "
            f"{catalog.cri_dockerd_version}, which the package source does not have",
            f"kubernetes.runtime: containerd{_or_version(request, catalog)}",
        )
    nodes = "this host" if request.shared_kernel else request.guest
    if request.cgroup not in release.cgroup_modes:
        yield Refusal(
            "kubernetes.version",
            f"Kubernetes {release.minor} does not run on cgroup {request.cgroup}, which {nodes} has",
            _nearest(request, catalog, "a guest or host with another cgroup version"),
        )
    if not at_least(request.kernel, release.minimum_kernel):
        yield Refusal(
            "kubernetes.version",
            f"Kubernetes {release.minor} needs kernel {release.minimum_kernel}, {nodes} has {request.kernel}",
            _nearest(request, catalog, "a newer guest"),
        )
    containerd = _containerd(request, catalog)
    if request.runtime == "containerd" and not at_least(containerd, release.minimum_containerd):
        yield Refusal(
            "kubernetes.version",
            f"Kubernetes {release.minor} needs containerd {release.minimum_containerd}, "
            f"{request.guest} installs {containerd}",
            _nearest(request, catalog, "a newer guest"),
        )
    if request.cni == "calico":
        calico, reason = _calico(request, catalog)
        if calico is None:
            yield Refusal("kubernetes.cni", reason, "kubernetes.cni: bridge_cni")


def unknown_version(version: str, catalog: Catalog) -> Refusal:
    """The refusal of a version that no release of the catalog is."""
    first, last = catalog.releases[0], catalog.releases[-1]
    nearest = first if number(version) < number(first.minor) else last
    return Refusal(
        "kubernetes.version",
        f"Kubernetes {version} is not known; the catalog has {first.minor} to {last.minor}",
        f'kubernetes.version: "{nearest.newest_patch}" is the nearest',
    )


def guest_refusals(name: str, provider: str, purpose: Purpose, catalog: Catalog) -> Iterator[Refusal]:
    """Why `provider` cannot create machines of this guest, or labctl cannot set them up."""
    import difflib

    guest = catalog.guest(name)
    names = [known.name for known in catalog.guests]
    if guest is None:
        near = difflib.get_close_matches(name, names, 1, 0.4)
        fix = f"did you mean {near[0]}?" if near else f"write one of {', '.join(names)}"
        yield Refusal("guest", f"{name!r} is not in the catalog", fix)
        return
    if provider not in guest.providers:
        fitting = next((known.name for known in catalog.guests if provider in known.providers), "debian-12")
        yield Refusal(
            "guest",
            f"the provider {provider} has no {guest.title}",
            f"guest: {fitting}, or a provider of {', '.join(guest.providers)}",
        )
    if purpose == "converge" and not guest.converge:
        other = catalog.guest(guest.nearest)
        nearest = guest.nearest if other and provider in other.providers else "debian-12"
        yield Refusal(
            "guest",
            f"{guest.title} can be rendered and created but not set up: {guest.refused}",
            f"guest: {nearest}, or `labctl render` for the machines alone",
        )


def _calico(request: Request, catalog: Catalog) -> tuple[Calico | None, str]:
    """The newest Calico for the version and kernel, or why there is none."""
    candidates = [calico for calico in catalog.calico if within(request.version, calico.kubernetes)]
    if not candidates:
        return None, f"no Calico version is known to work with Kubernetes {minor(request.version)}"
    newest = candidates[0]
    calico = next((one for one in candidates if at_least(request.kernel, one.minimum_kernel)), None)
    if calico is None:
        return None, f"Calico {newest.version} needs kernel {newest.minimum_kernel}, the nodes have {request.kernel}"
    return calico, ""


def _nearest(request: Request, catalog: Catalog, otherwise: str) -> str:
    """The line of lab.yml with the nearest version that works with the rest of the request, else `otherwise`."""
    version = nearest_version(request, catalog)
    return f'kubernetes.version: "{version}" is the nearest that does' if version else otherwise


def _or_version(request: Request, catalog: Catalog) -> str:
    version = nearest_version(request, catalog)
    return f', or kubernetes.version: "{version}"' if version else ""


def nearest_version(request: Request, catalog: Catalog) -> str | None:
    """The newest patch of the minor closest to the requested one that works with everything else."""
    requested = number(request.version)[1]
    for release in sorted(catalog.releases, key=lambda item: abs(number(item.minor)[1] - requested)):
        candidate = replace(request, version=release.newest_patch, cni="bridge_cni")
        if _runs(candidate, release, catalog):
            return release.newest_patch
    return None


def _containerd(request: Request, catalog: Catalog) -> str:
    """The containerd of the nodes; an unknown guest is refused by `guest_refusals` and passes here."""
    guest = catalog.guest(request.guest)
    return request.containerd or (guest.containerd if guest else "99")


def _runs(request: Request, release: Release, catalog: Catalog) -> bool:
    return (
        (request.runtime != "docker" or release.dockershim or request.cri_dockerd)
        and request.cgroup in release.cgroup_modes
        and at_least(request.kernel, release.minimum_kernel)
        and (request.runtime != "containerd" or at_least(_containerd(request, catalog), release.minimum_containerd))
    )


def runs(request: Request, catalog: Catalog) -> bool:
    """Whether version, runtime, kernel and cgroup of `request` work together; the guest is not checked."""
    release = catalog.release(request.version)
    return release is not None and _runs(request, release, catalog)
