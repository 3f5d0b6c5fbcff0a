"""Which bundle a lab takes, or has made from which source, and which Kubernetes version of it, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.catalog import Catalog, Request
from orchestrator.catalog.resolve import runs
from orchestrator.catalog.versions import Number, minor, number
from orchestrator.model import ORIGINS, BundleOrigin, SourcePlan
from orchestrator.observed import BuildableBundle, SourceContent
from orchestrator.plan.diagnostics import Diagnostics

OPEN_VERSIONS = ("auto", "oldest")
# A bundle of the cache, or where one is made from.
Source = Literal["bundle"] | BundleOrigin


@dataclass(frozen=True)
class SourceSelection:
    """A bundle with the Kubernetes version taken from it.

    `origin` is where it is made from, None for one that is only in the cache. `build_disk` is what making it takes, in
    MB; 0 when there is nothing to make.
    """

    content: SourceContent
    reason: str
    version_reason: str = ""
    origin: BundleOrigin | None = None
    build_disk: int = 0

    @property
    def version(self) -> str:
        return self.content.kubernetes

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
        """Whether a bundle has all that is required, in a version that can run, for these machines."""
        return content.guest in ("", self.request.guest) and (
            not self.kubernetes
            or (
                bool(content.kubernetes)
                and self.matches(content.kubernetes)
                and self.can_run(content.kubernetes, catalog, content)
                and (content.has_calico or not self.calico)
                and (content.has_coredns or not self.coredns)
            )
        )

    def can_run(self, version: str, catalog: Catalog, content: SourceContent | None = None) -> bool:
        """Whether the nodes can run this version, with containerd where the runtime may give way."""
        request = with_content(replace(self.request, version=version), content)
        release = catalog.release(version)
        # kubeadm asks every runtime but the dockershim through crictl.
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
    """The request with what the bundle itself brings."""
    if content is None:
        return request
    return replace(request, cri_dockerd=content.has_cri_dockerd, containerd=content.containerd)


def first(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    """The first bundle, in the order of preference of sources, that has all that is required."""
    for source in _order(requirements, diagnostics):
        found = _cached(requirements, diagnostics) if source == "bundle" else _made(source, requirements, diagnostics)
        if found:
            return found
    return None


def _order(requirements: Requirements, diagnostics: Diagnostics) -> Sequence[Source]:
    """The sources to try, the best first."""
    requested = diagnostics.spec.lab.packages.source
    if requested != "auto":
        return (requested,)
    if not requirements.kubernetes:
        return ("bundle", "system")
    # 1.20.2 from Debian's source is older than anything that the others still have.
    if requirements.version == "oldest":
        return ("bundle", "debian", "community", "modules")
    return ("bundle", "community", "modules", "debian")


def _cached(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    observed = diagnostics.observed
    fitting = [content for content in observed.bundles if requirements.fits(content, diagnostics.catalog)]
    if not fitting:
        return None
    # One that lacks the required signature is refused only where no other fits.
    fitting = [content for content in fitting if not content.unsigned] or fitting
    used = observed.existing.source.bundle_id if observed.existing else None
    # Of one version the bundle that this labctl would make, then the last one.
    own = {one.content.id for one in observed.buildable}
    fitting.sort(key=lambda content: (_age(content), content.id in own))
    best = fitting[0] if requirements.version == "oldest" else fitting[-1]
    content = next((bundle for bundle in fitting if bundle.id == used), best)
    origin = next((one.origin for one in observed.buildable if one.content.id == content.id), None)
    reason = f"bundle {content.id} is in the cache and fits"
    return SourceSelection(content, reason, requirements.version_reason("the bundle"), origin)


def _age(content: SourceContent) -> Number:
    """The version to sort by; one without Kubernetes comes before every version."""
    return number(content.kubernetes) if content.kubernetes else ()


def _made(origin: BundleOrigin, requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    """A bundle made from this origin: taken from the cache when only this origin is wanted, else made."""
    offers = [one for one in diagnostics.observed.buildable if one.origin == origin and one.possible]
    able = [one for one in offers if requirements.fits(one.content, diagnostics.catalog)]
    if not able:
        return None
    best = able[-1] if requirements.version == "oldest" else able[0]
    version_reason = requirements.version_reason(ORIGINS[origin])
    if version_reason and best != offers[0] and requirements.version == "auto":
        version_reason += f"; {minor(offers[0].content.kubernetes)} does not run here"
    cached = next((bundle for bundle in diagnostics.observed.bundles if bundle.id == best.content.id), None)
    if cached:
        reason = f"bundle {cached.id} is in the cache and made from {ORIGINS[origin]}"
        return SourceSelection(cached, reason, version_reason, origin)
    missing = f"no bundle in the cache fits{_not_community(origin, requirements, diagnostics)}"
    reason = f"{missing}: one is made from {ORIGINS[origin]}, {_minutes(best)}{_next_best(best, diagnostics)}"
    return SourceSelection(best.content, reason, version_reason, origin, best.disk)


def _minutes(one: BuildableBundle) -> str:
    return f"about {max(round(one.seconds / 60), 1)} min"


def _next_best(chosen: BuildableBundle, diagnostics: Diagnostics) -> str:
    """The quicker bundle that a user in a hurry may prefer."""
    versions = [one for one in diagnostics.observed.buildable if one.possible and one.content.kubernetes]
    quicker = [one for one in versions if one.seconds < chosen.seconds and one.origin != chosen.origin]
    if not quicker:
        return ""
    best = quicker[-1]
    return f" (`--kubernetes {best.content.kubernetes}`: {_minutes(best)})"


def _not_community(origin: BundleOrigin, requirements: Requirements, diagnostics: Diagnostics) -> str:
    """Why the community's own packages are not taken, where they would have come first."""
    published = [one for one in diagnostics.observed.buildable if one.origin == "community"]
    if origin in ("community", "mirror") or not published:
        return ""
    if any(one.possible for one in published):
        return " and the community's repositories have nothing as old" if requirements.version == "oldest" else ""
    return f" and the community's repositories cannot be used ({published[0].reason})"


def source_plan(selection: SourceSelection, gateway: str, diagnostics: Diagnostics) -> SourcePlan:
    """The source as the nodes use it: the host serves the bundle at its address on the lab's network."""
    to_make = f", to be made from {ORIGINS[selection.origin]}" if selection.build and selection.origin else ""
    diagnostics.decide("packages.source", f"bundle{to_make}", selection.reason)
    if attached := diagnostics.observed.attached:
        diagnostics.decide("packages.attached", attached, "`labctl bundle attach` put it beside the first")
    if diagnostics.observed.signed_by:
        _require_signature(selection, diagnostics)
    return SourcePlan(
        bundle_id=selection.content.id,
        build_bundle=selection.build,
        url=f"http://{gateway}:{diagnostics.catalog.bundle_port}",
        origin=selection.origin,
        addresses=diagnostics.observed.addresses if selection.origin == "mirror" else None,
        signed_by=diagnostics.observed.signed_by,
    )


def _require_signature(selection: SourceSelection, diagnostics: Diagnostics) -> None:
    """Record the required signature, and why the selected bundle lacks it."""
    content, field = selection.content, "packages.signed_by"
    diagnostics.decide(field, diagnostics.spec.lab.packages.signed_by)
    if selection.build:
        diagnostics.lack(
            "no signed bundle in the cache fits, and one that is made here has no signature yet",
            "`labctl bundle import FILE` a signed one, or `labctl bundle build`, then `labctl bundle sign --key KEY`",
            field,
        )
    elif content.unsigned:
        diagnostics.lack(content.unsigned, content.unsigned_fix, field)
