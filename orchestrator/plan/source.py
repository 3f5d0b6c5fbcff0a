"""Which package source a lab takes and which Kubernetes version of it, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from orchestrator.catalog import Catalog, Request
from orchestrator.catalog.resolve import runs
from orchestrator.catalog.versions import Number, minor, number
from orchestrator.model import ORIGINS, BundleOrigin, SourceKind
from orchestrator.observed import BuildableBundle, SourceContent
from orchestrator.plan.diagnostics import Diagnostics

OPEN_VERSIONS = ("auto", "oldest")


@dataclass(frozen=True)
class SourceSelection:
    """A package source with the Kubernetes version taken from it; `content` is None for the community.

    `build_disk` is what building it takes, in MB; 0 when there is nothing to build.
    """

    kind: SourceKind
    version: str
    reason: str
    version_reason: str = ""
    content: SourceContent | None = None
    build_disk: int = 0

    @property
    def build(self) -> bool:
        return self.build_disk > 0


@dataclass(frozen=True)
class Requirements:
    """What the source must offer: version (`auto`, `oldest`, minor or full), images, and a request to test it with.

    `any_runtime` says that the runtime is a default, which may give way; `any_crictl` that it is tested as if every
    source had crictl; `kept` that the version is the one the lab already runs.
    """

    version: str
    request: Request
    any_runtime: bool
    calico: bool = False
    coredns: bool = False
    any_crictl: bool = False
    kubernetes: bool = True
    kept: bool = False

    def matches(self, version: str) -> bool:
        """Whether this version is the required one."""
        return self.version in (*OPEN_VERSIONS, version, minor(version))

    def fits(self, content: SourceContent, catalog: Catalog) -> bool:
        """Whether a bundle or mirror has all that is required, in a version that can run."""
        return not self.kubernetes or (
            bool(content.kubernetes)
            and self.matches(content.kubernetes)
            and self.can_run(content.kubernetes, catalog, content)
            and (content.has_calico or not self.calico)
            and (content.has_coredns or not self.coredns)
        )

    def can_run(self, version: str, catalog: Catalog, content: SourceContent | None = None) -> bool:
        """Whether the nodes can run this version, with containerd where the runtime may give way."""
        request = with_content(replace(self.request, version=version), content)
        release = catalog.release(version)
        # kubeadm asks every runtime but the dockershim through crictl, which the community's kubeadm depends on.
        crictl = content is None or content.has_crictl or self.any_crictl
        dockershim = release is not None and release.dockershim and request.runtime == "docker"
        return ((crictl or dockershim) and runs(request, catalog)) or (
            self.any_runtime and crictl and runs(replace(request, runtime="containerd"), catalog)
        )

    def version_reason(self, place: str) -> str:
        """Why a version of this source is taken; empty for one that lab.yml names."""
        if self.kept:
            return "the lab has it already"
        newest = {"auto": "newest", "oldest": "oldest"}.get(self.version)
        return f"{self.version}: the {newest} in {place} that these machines run" if newest else ""


def with_content(request: Request, content: SourceContent | None) -> Request:
    """The request with what the bundle or mirror itself brings."""
    if content is None:
        return request
    has_cri_dockerd = request.cri_dockerd or content.has_cri_dockerd
    return replace(request, cri_dockerd=has_cri_dockerd, containerd=content.containerd)


def first(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    """The first source, in the order of preference, that has all that is required."""
    names = _order(requirements, diagnostics)
    return next((found for name in names if (found := _SOURCES[name](requirements, diagnostics))), None)


def _order(requirements: Requirements, diagnostics: Diagnostics) -> tuple[str, ...]:
    """The sources to try, the best first."""
    requested, plan = diagnostics.spec.lab.packages.source, diagnostics.observed.existing
    if requested != "auto":
        return (requested,)
    existing = plan.source.kind if plan else ""
    built = ("modules", "debian") if requirements.kubernetes else ("system",)
    if existing in ("community", "mirror"):
        return (existing, "bundle", "community", *built)
    # 1.20.2 from Debian's source is older than anything that the others still have.
    if requirements.version == "oldest" and requirements.kubernetes:
        return ("bundle", "debian", "community", "modules")
    return ("bundle", "community", *built)


def _cached(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    observed = diagnostics.observed
    fitting = [content for content in observed.bundles if requirements.fits(content, diagnostics.catalog)]
    if not fitting:
        return None
    used = observed.existing.source.bundle_id if observed.existing else None
    # Of one version the bundle that this labctl would build, then the last one.
    own = {one.content.id for one in observed.buildable}
    fitting.sort(key=lambda content: (_age(content), content.id in own))
    best = fitting[0] if requirements.version == "oldest" else fitting[-1]
    content = next((bundle for bundle in fitting if bundle.id == used), best)
    reason = f"bundle {content.id} is in the cache and fits"
    return SourceSelection("bundle", content.kubernetes, reason, requirements.version_reason("the bundle"), content)


def _age(content: SourceContent) -> Number:
    """The version to sort by; one without Kubernetes comes before every version."""
    return number(content.kubernetes) if content.kubernetes else ()


def _built(origin: BundleOrigin, requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    """A bundle made from this origin: taken from the cache when only this origin is wanted, else built."""
    able = [
        one
        for one in diagnostics.observed.buildable
        if one.origin == origin and one.possible and requirements.fits(one.content, diagnostics.catalog)
    ]
    if not able:
        return None
    best = able[-1] if requirements.version == "oldest" else able[0]
    version_reason = requirements.version_reason(ORIGINS[origin])
    cached = next((bundle for bundle in diagnostics.observed.bundles if bundle.id == best.content.id), None)
    if cached:
        reason = f"bundle {cached.id} is in the cache and made from {ORIGINS[origin]}"
        return SourceSelection("bundle", cached.kubernetes, reason, version_reason, cached)
    missing = f"no bundle in the cache fits{_not_community(requirements, diagnostics)}"
    reason = f"{missing}: one is built from {ORIGINS[origin]}, {_minutes(best)}{_next_best(best, diagnostics)}"
    return SourceSelection("bundle", best.content.kubernetes, reason, version_reason, best.content, best.disk)


def _minutes(one: BuildableBundle) -> str:
    return f"about {max(round(one.seconds / 60), 1)} min"


def _next_best(chosen: BuildableBundle, diagnostics: Diagnostics) -> str:
    """The quicker bundle that a user in a hurry may prefer."""
    versions = [one for one in diagnostics.observed.buildable if one.possible and one.content.kubernetes]
    quicker = [one for one in versions if one.seconds < chosen.seconds]
    if not quicker:
        return ""
    best = quicker[-1]
    return f" (`--kubernetes {best.content.kubernetes}`: {_minutes(best)})"


def _not_community(requirements: Requirements, diagnostics: Diagnostics) -> str:
    observed = diagnostics.observed
    if observed.community_reachable:
        older = requirements.version == "oldest"
        return " and the community's repositories have nothing as old" if older else ""
    if observed.community_reachable is None:
        return f" and nobody looked outside ({observed.community_reason or 'not asked to'})"
    reason = f" ({observed.community_reason})" if observed.community_reason else ""
    return f" and the community's repositories are not reachable{reason}"


def _community(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    catalog, version = diagnostics.catalog, requirements.version
    if not diagnostics.observed.community_reachable:
        return None
    reason = "the community's repositories are reachable"
    if not requirements.kubernetes:
        return SourceSelection("community", "", reason)
    if version in OPEN_VERSIONS:
        able = [item for item in catalog.community_releases if requirements.can_run(item.newest_patch, catalog)]
        if not able:
            return None
        release = able[0] if version == "oldest" else able[-1]
        newest = catalog.community_releases[-1].minor
        skipped = "" if release.minor == newest or version == "oldest" else f"; {newest} does not run here"
        version_reason = requirements.version_reason("the community's repositories") + skipped
        return SourceSelection("community", release.newest_patch, reason, version_reason)
    known = catalog.release(version)
    if known is None or not known.community or not requirements.can_run(version, catalog):
        return None
    is_full = len(number(version)) == 3
    if is_full and known.final and number(version) > number(known.newest_patch):
        return None
    return SourceSelection("community", version if is_full else known.newest_patch, reason)


def _mirror(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    content = diagnostics.observed.mirror
    if content is None or not requirements.fits(content, diagnostics.catalog):
        return None
    version_reason = requirements.version_reason("the mirror")
    return SourceSelection("mirror", content.kubernetes, "lab.yml names it", version_reason, content)


_SOURCES: dict[str, Callable[[Requirements, Diagnostics], SourceSelection | None]] = {
    "bundle": _cached,
    "modules": partial(_built, "modules"),
    "debian": partial(_built, "debian"),
    "system": partial(_built, "system"),
    "community": _community,
    "mirror": _mirror,
}
