"""Which package source a lab takes and which Kubernetes version of it, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from orchestrator.catalog import Catalog, Guest, Request
from orchestrator.catalog.resolve import runs, unknown_version
from orchestrator.catalog.versions import minor, number
from orchestrator.model import Observed, SourceContent, SourceKind, SourcePlan
from orchestrator.plan.ledger import Ledger

NO_SOURCE_FIX = "`labctl bundle import FILE`, a packages.mirror, or a connection to the internet"


@dataclass(frozen=True)
class Chosen:
    """A package source with the Kubernetes version taken from it; `content` is None for the community."""

    kind: SourceKind
    version: str
    why: str
    version_why: str = ""
    content: SourceContent | None = None
    build: bool = False


@dataclass(frozen=True)
class Wanted:
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

    def takes(self, version: str) -> bool:
        """Whether this version is what was asked for."""
        if self.version in ("auto", "oldest"):
            return True
        return version == self.version or minor(version) == self.version

    def fits(self, content: SourceContent, catalog: Catalog) -> bool:
        """Whether a bundle or mirror has all that is asked for, in a version that can run."""
        if not self.kubernetes:
            return True
        return (
            self.takes(content.kubernetes)
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


def with_content(request: Request, content: SourceContent | None) -> Request:
    """The request with what the bundle or mirror itself brings."""
    if content is None:
        return request
    return replace(
        request,
        cri_dockerd=request.cri_dockerd or content.has_cri_dockerd,
        containerd=content.containerd,
    )


def choose(wanted: Wanted, observed: Observed, catalog: Catalog, ledger: Ledger) -> Chosen | None:
    """The source that fits; None after recording why there is none."""
    asked = ledger.spec.lab.packages.source
    if wanted.kubernetes and wanted.version not in ("auto", "oldest") and catalog.release(wanted.version) is None:
        ledger.refuse_all((unknown_version(wanted.version, catalog),))
        return None
    ways: dict[str, Callable[[], Chosen | None]] = {
        "bundle": lambda: _held(wanted, observed, catalog),
        "build": lambda: _built(wanted, observed, catalog),
        "community": lambda: _community(wanted, observed, catalog),
        "mirror": lambda: _mirror(wanted, observed, catalog),
    }
    for way in _order(asked, wanted, observed):
        chosen = ways[way]()
        if chosen:
            return chosen
    _explain(asked, wanted, observed, catalog, ledger)
    return None


def _order(asked: str, wanted: Wanted, observed: Observed) -> tuple[str, ...]:
    if asked == "bundle":
        return ("bundle", "build")
    if asked != "auto":
        return (asked,)
    existing = observed.existing.source.kind if observed.existing else ""
    if existing in ("community", "mirror"):
        return (existing, "bundle", "community", "build")
    # 1.20.2 of the built bundle is older than anything the community's repositories still have.
    return ("bundle", "build", "community") if wanted.version == "oldest" else ("bundle", "community", "build")


def _held(wanted: Wanted, observed: Observed, catalog: Catalog) -> Chosen | None:
    fitting = [content for content in observed.bundles if wanted.fits(content, catalog)]
    if not fitting:
        return None
    used = observed.existing.source.bundle_id if observed.existing else None
    kept = next((bundle for bundle in fitting if bundle.id == used), None)
    content = kept or _pick(wanted.version, fitting, observed.buildable.id)
    return Chosen(
        "bundle",
        content.kubernetes,
        f"bundle {content.id} is in the cache and fits",
        _version_why(wanted, "the bundle"),
        content,
    )


def _pick(version: str, contents: Iterable[SourceContent], current: str) -> SourceContent:
    """The newest (or oldest) version; of one version the bundle that this labctl would build, then the last one."""
    ordered = sorted(contents, key=lambda content: (number(content.kubernetes), content.id == current))
    return ordered[0] if version == "oldest" else ordered[-1]


def _built(wanted: Wanted, observed: Observed, catalog: Catalog) -> Chosen | None:
    buildable = observed.buildable
    content = SourceContent(buildable.id, buildable.kubernetes)
    if not buildable.possible or not wanted.fits(content, catalog):
        return None
    why = f"no bundle in the cache fits{_not_community(wanted, observed)}: one is built from Debian's Kubernetes source"
    return Chosen("bundle", content.kubernetes, why, _version_why(wanted, "Debian's source package"), content, True)


def _not_community(wanted: Wanted, observed: Observed) -> str:
    if observed.community_reachable:
        return " and the community's repositories have nothing as old" if wanted.version == "oldest" else ""
    if observed.community_reachable is None:
        return f" and nobody looked outside ({observed.community_reason or 'not asked to'})"
    reason = f" ({observed.community_reason})" if observed.community_reason else ""
    return f" and the community's repositories are not reachable{reason}"


def _community(wanted: Wanted, observed: Observed, catalog: Catalog) -> Chosen | None:
    if not observed.community_reachable:
        return None
    why = "the community's repositories are reachable"
    if not wanted.kubernetes:
        return Chosen("community", "", why)
    if wanted.version in ("auto", "oldest"):
        able = [item for item in catalog.community_releases if wanted.can_run(item.newest_patch, catalog)]
        if not able:
            return None
        release = able[0] if wanted.version == "oldest" else able[-1]
        skipped = catalog.community_releases[-1].minor
        held_back = "" if release.minor == skipped or wanted.version == "oldest" else f"; {skipped} does not run here"
        return Chosen(
            "community",
            release.newest_patch,
            why,
            _version_why(wanted, "the community's repositories") + held_back,
        )
    known = catalog.release(wanted.version)
    if known is None or not known.community or not wanted.can_run(wanted.version, catalog):
        return None
    full = len(number(wanted.version)) == 3
    if full and known.final and number(wanted.version) > number(known.newest_patch):
        return None
    return Chosen("community", wanted.version if full else known.newest_patch, why)


def _mirror(wanted: Wanted, observed: Observed, catalog: Catalog) -> Chosen | None:
    mirror = observed.mirror
    if mirror is None or not wanted.fits(mirror, catalog):
        return None
    return Chosen("mirror", mirror.kubernetes, "lab.yml names it", _version_why(wanted, "the mirror"), mirror)


def _version_why(wanted: Wanted, place: str) -> str:
    if wanted.kept:
        return "the lab has it already"
    if wanted.version == "auto":
        return f"auto: the newest in {place} that these machines run"
    if wanted.version == "oldest":
        return f"oldest: the oldest in {place} that these machines run"
    return ""


def _explain(asked: str, wanted: Wanted, observed: Observed, catalog: Catalog, ledger: Ledger) -> None:
    """Record why no source fits: a wish that nobody can fulfil is lab.yml's, a source that is missing is the host's."""
    if not _anything(asked, observed):
        what, fix = _missing(asked, observed)
        ledger.lack(what, fix, ledger.spec.at("packages.source"))
        return
    for field, missing, other, plainer in (
        ("kubernetes.cni", "Calico's images", "bridge_cni (or auto)", replace(wanted, calico=False)),
        ("kubernetes.dns", "CoreDNS's image", "dnsmasq (or auto)", replace(wanted, coredns=False)),
        (
            "kubernetes.runtime",
            "crictl (cri-tools), through which kubeadm asks containerd,",
            "docker",
            replace(wanted, any_crictl=True),
        ),
    ):
        if plainer != wanted and _would(asked, plainer, observed, catalog):
            ledger.refuse(
                field,
                f"{missing} cannot be had: {_contents(asked, observed, catalog)}",
                f"{field}: {other}, or `labctl bundle import` a bundle with what is missing",
            )
            return
    if wanted.version in ("auto", "oldest"):
        ledger.refuse(
            "kubernetes.version",
            f"no version that can be had runs on these machines: {_contents(asked, observed, catalog)}",
            "another guest, runtime or package source; `labctl catalog` shows what goes together",
        )
        return
    if not wanted.can_run(wanted.version, catalog):
        from orchestrator.catalog import resolve

        runtime = "containerd" if wanted.any_runtime else wanted.request.runtime
        refusals = resolve(replace(wanted.request, version=wanted.version, runtime=runtime), catalog)
        if isinstance(refusals, tuple):
            # The guest is judged once, by the caller.
            ledger.refuse_all(tuple(refusal for refusal in refusals if refusal.field != "guest"))
            return
    ledger.refuse(
        "kubernetes.version",
        f"no package source that can be reached has Kubernetes {wanted.version}: {_contents(asked, observed, catalog)}",
        _helps(wanted, observed, catalog),
    )


def _would(asked: str, wanted: Wanted, observed: Observed, catalog: Catalog) -> bool:
    return any(
        way in _order(asked, wanted, observed) and found
        for way, found in (
            ("bundle", _held(wanted, observed, catalog)),
            ("build", _built(wanted, observed, catalog)),
            ("community", _community(wanted, observed, catalog)),
            ("mirror", _mirror(wanted, observed, catalog)),
        )
    )


def _anything(asked: str, observed: Observed) -> bool:
    """Whether the kind of source that is asked for exists at all."""
    bundles = bool(observed.bundles) or observed.buildable.possible
    community = bool(observed.community_reachable)
    return {"bundle": bundles, "community": community, "mirror": observed.mirror is not None}.get(
        asked, bundles or community
    )


def _missing(asked: str, observed: Observed) -> tuple[str, str]:
    build = f"one cannot be built here ({observed.buildable.reason})"
    outside = observed.community_reason or "nobody looked"
    if asked == "community":
        return f"the community's repositories are not reachable ({outside})", "connect, or packages.source: auto"
    if asked == "mirror":
        url = observed.mirror_reason or "it could not be read"
        return f"the mirror cannot be used: {url}", "check packages.mirror.url: it must have a bundle's manifest.json"
    if asked == "bundle":
        return f"there is no bundle in the cache and {build}", NO_SOURCE_FIX
    return f"no package source: no bundle in the cache, {build}, nothing outside ({outside})", NO_SOURCE_FIX


def _contents(asked: str, observed: Observed, catalog: Catalog) -> str:
    parts: list[str] = []
    if asked in ("auto", "bundle"):
        held = sorted({content.kubernetes for content in observed.bundles}, key=number)
        parts.append(f"bundles in the cache have {', '.join(held)}" if held else "no bundle is in the cache")
        if observed.buildable.possible:
            parts.append(f"a bundle built here would have {observed.buildable.kubernetes}")
    if asked in ("auto", "community"):
        names = catalog.community_releases
        parts.append(
            f"the community's repositories have {names[0].minor} to {names[-1].minor}"
            if observed.community_reachable
            else f"the community's repositories are not reachable ({observed.community_reason or 'nobody looked'})"
        )
    if asked == "mirror" and observed.mirror:
        parts.append(f"the mirror has {observed.mirror.kubernetes}")
    return "; ".join(parts)


def _helps(wanted: Wanted, observed: Observed, catalog: Catalog) -> str:
    release = catalog.release(wanted.version)
    help_ = [f"`labctl bundle import` a bundle of {wanted.version}"]
    if release and release.community and not observed.community_reachable:
        help_.append("a connection to the community's repositories")
    if (
        release
        and release.final
        and len(number(wanted.version)) == 3
        and number(wanted.version) > number(release.newest_patch)
    ):
        help_.append(f'kubernetes.version: "{release.newest_patch}", the last of its minor')
    return ", or ".join([*help_, "kubernetes.version: auto"])


def source_plan(chosen: Chosen, gateway: str, guest: Guest | None, catalog: Catalog, ledger: Ledger) -> SourcePlan:
    """The source as the nodes will be told of it."""
    packages = ledger.spec.lab.packages
    ledger.decide("packages.source", chosen.kind + (" (to be built)" if chosen.build else ""), chosen.why)
    if chosen.kind == "community":
        urls = catalog.community
        names = {"minor": minor(chosen.version) if chosen.version else "", "newest": catalog.releases[-1].minor}
        key = urls.rpm_key_url if guest and guest.family == "redhat" else urls.apt_key_url
        if not chosen.version:
            return SourcePlan(kind="community")
        return SourcePlan(
            kind="community",
            key_url=key.format(**names),
            apt_url=urls.apt_url.format(**names),
            apt_suite=urls.apt_suite,
            rpm_url=urls.rpm_url.format(**names),
        )
    mirror = packages.mirror
    served = chosen.kind == "bundle"
    url = f"http://{gateway}:{catalog.bundle_port}" if served else str(mirror.url)
    registry = None if served else mirror.image_registry
    archive = f"{url}/images.tar" if served or not registry else None
    return SourcePlan(
        kind=chosen.kind,
        bundle_id=chosen.content.id if served and chosen.content else None,
        build_bundle=chosen.build,
        url=url,
        key_url=(None if served else mirror.key_url) or f"{url}/key.asc",
        image_registry=registry,
        image_archive_url=(None if served else mirror.image_archive_url) or archive,
        apt_url=f"{url}/apt",
        rpm_url=f"{url}/rpm",
    )
