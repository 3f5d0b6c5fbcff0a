"""Which package source a lab takes and which Kubernetes version of it, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.catalog import Catalog, Request, resolve
from orchestrator.catalog.resolve import runs, unknown_version
from orchestrator.catalog.versions import minor, number
from orchestrator.model import SourceKind
from orchestrator.observed import SourceContent
from orchestrator.plan.diagnostics import Diagnostics

NO_SOURCE_FIX = "`labctl bundle import FILE`, a packages.mirror, or a connection to the internet"
OPEN_VERSIONS = ("auto", "oldest")


@dataclass(frozen=True)
class SourceSelection:
    """A package source with the Kubernetes version taken from it; `content` is None for the community."""

    kind: SourceKind
    version: str
    reason: str
    version_reason: str = ""
    content: SourceContent | None = None
    build: bool = False


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
            self.matches(content.kubernetes)
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


def select(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    """The source that fits; None after recording why there is none."""
    version, catalog = requirements.version, diagnostics.catalog
    if requirements.kubernetes and version not in OPEN_VERSIONS and catalog.release(version) is None:
        diagnostics.refuse_all((unknown_version(version, catalog),))
        return None
    selection = _first(requirements, diagnostics)
    if selection is None:
        _explain(requirements, diagnostics)
    return selection


def _first(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    names = _order(requirements, diagnostics)
    return next((found for name in names if (found := _SOURCES[name](requirements, diagnostics))), None)


def _order(requirements: Requirements, diagnostics: Diagnostics) -> tuple[str, ...]:
    """The sources to try, the best first."""
    requested, plan = diagnostics.spec.lab.packages.source, diagnostics.observed.existing
    if requested == "bundle":
        return ("bundle", "build")
    if requested != "auto":
        return (requested,)
    existing = plan.source.kind if plan else ""
    if existing in ("community", "mirror"):
        return (existing, "bundle", "community", "build")
    # 1.20.2 of the built bundle is older than anything the community's repositories still have.
    return ("bundle", "build", "community") if requirements.version == "oldest" else ("bundle", "community", "build")


def _cached(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    observed = diagnostics.observed
    fitting = [content for content in observed.bundles if requirements.fits(content, diagnostics.catalog)]
    if not fitting:
        return None
    used = observed.existing.source.bundle_id if observed.existing else None
    # Of one version the bundle that this labctl would build, then the last one.
    fitting.sort(key=lambda content: (number(content.kubernetes), content.id == observed.buildable.id))
    best = fitting[0] if requirements.version == "oldest" else fitting[-1]
    content = next((bundle for bundle in fitting if bundle.id == used), best)
    reason = f"bundle {content.id} is in the cache and fits"
    return SourceSelection("bundle", content.kubernetes, reason, requirements.version_reason("the bundle"), content)


def _built(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    buildable = diagnostics.observed.buildable
    content = SourceContent(buildable.id, buildable.kubernetes)
    if not buildable.possible or not requirements.fits(content, diagnostics.catalog):
        return None
    missing = f"no bundle in the cache fits{_not_community(requirements, diagnostics)}"
    reason = f"{missing}: one is built from Debian's Kubernetes source"
    version_reason = requirements.version_reason("Debian's source package")
    return SourceSelection("bundle", content.kubernetes, reason, version_reason, content, build=True)


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
    "build": _built,
    "community": _community,
    "mirror": _mirror,
}


def _explain(requirements: Requirements, diagnostics: Diagnostics) -> None:
    """Record why no source fits: what nobody can offer is lab.yml's problem, a missing source is the host's."""
    catalog, version = diagnostics.catalog, requirements.version
    if missing := _missing(diagnostics):
        diagnostics.lack(*missing, "packages.source")
        return
    contents = _contents(diagnostics)
    crictl = "crictl (cri-tools), through which kubeadm asks containerd,"
    for field, what, other, relaxed in (
        ("kubernetes.cni", "Calico's images", "bridge_cni (or auto)", replace(requirements, calico=False)),
        ("kubernetes.dns", "CoreDNS's image", "dnsmasq (or auto)", replace(requirements, coredns=False)),
        ("kubernetes.runtime", crictl, "docker", replace(requirements, any_crictl=True)),
    ):
        if relaxed != requirements and _first(relaxed, diagnostics):
            fix = f"{field}: {other}, or `labctl bundle import` a bundle with what is missing"
            diagnostics.refuse(field, f"{what} cannot be had: {contents}", fix)
            return
    if version in OPEN_VERSIONS:
        diagnostics.refuse(
            "kubernetes.version",
            f"no version that can be had runs on these machines: {contents}",
            "another guest, runtime or package source; `labctl catalog` shows what goes together",
        )
        return
    if not requirements.can_run(version, catalog):
        runtime = "containerd" if requirements.any_runtime else requirements.request.runtime
        refusals = resolve(replace(requirements.request, version=version, runtime=runtime), catalog)
        if isinstance(refusals, tuple):
            # The guest is checked once, by the caller.
            diagnostics.refuse_all(tuple(refusal for refusal in refusals if refusal.field != "guest"))
            return
    what = f"no package source that can be reached has Kubernetes {version}: {contents}"
    diagnostics.refuse("kubernetes.version", what, _version_fix(version, diagnostics))


def _missing(diagnostics: Diagnostics) -> tuple[str, str] | None:
    """What is missing, and its fix, when the kind of source that is requested does not exist at all."""
    requested, observed = diagnostics.spec.lab.packages.source, diagnostics.observed
    has_bundle = bool(observed.bundles) or observed.buildable.possible
    build = f"one cannot be built here ({observed.buildable.reason})"
    outside = observed.community_reason or "nobody looked"
    if requested == "mirror":
        url = observed.mirror_reason or "it could not be read"
        fix = "check packages.mirror.url: it must have a bundle's manifest.json"
        return None if observed.mirror else (f"the mirror cannot be used: {url}", fix)
    if requested == "bundle":
        return None if has_bundle else (f"there is no bundle in the cache and {build}", NO_SOURCE_FIX)
    if observed.community_reachable or (requested == "auto" and has_bundle):
        return None
    if requested == "community":
        return f"the community's repositories are not reachable ({outside})", "connect, or packages.source: auto"
    return f"no package source: no bundle in the cache, {build}, nothing outside ({outside})", NO_SOURCE_FIX


def _contents(diagnostics: Diagnostics) -> str:
    """What the sources have, in words."""
    requested, observed = diagnostics.spec.lab.packages.source, diagnostics.observed
    parts: list[str] = []
    if requested in ("auto", "bundle"):
        versions = sorted({content.kubernetes for content in observed.bundles}, key=number)
        parts.append(f"bundles in the cache have {', '.join(versions)}" if versions else "no bundle is in the cache")
        if observed.buildable.possible:
            parts.append(f"a bundle built here would have {observed.buildable.kubernetes}")
    if requested in ("auto", "community"):
        releases = diagnostics.catalog.community_releases
        state = f"are not reachable ({observed.community_reason or 'nobody looked'})"
        if observed.community_reachable:
            state = f"have {releases[0].minor} to {releases[-1].minor}"
        parts.append(f"the community's repositories {state}")
    if requested == "mirror" and observed.mirror:
        parts.append(f"the mirror has {observed.mirror.kubernetes}")
    return "; ".join(parts)


def _version_fix(version: str, diagnostics: Diagnostics) -> str:
    """What would help to get this version."""
    release = diagnostics.catalog.release(version)
    fixes = [f"`labctl bundle import` a bundle of {version}"]
    if release and release.community and not diagnostics.observed.community_reachable:
        fixes.append("a connection to the community's repositories")
    if release and release.final and len(number(version)) == 3 and number(version) > number(release.newest_patch):
        fixes.append(f'kubernetes.version: "{release.newest_patch}", the last of its minor')
    return ", or ".join([*fixes, "kubernetes.version: auto"])
