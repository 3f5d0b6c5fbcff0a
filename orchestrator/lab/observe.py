"""Gathers what planning depends on: host, providers, ports, networks, bundles, sources, and the lab as it is."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import bundle, catalog, debian_mirror, host, paths
from orchestrator.addresses import Addresses
from orchestrator.bundle import BundleInfo, manifest, probe
from orchestrator.catalog.versions import minor, number
from orchestrator.errors import Problem
from orchestrator.lab import claims
from orchestrator.lab.attached import load_attached
from orchestrator.lab.state import lab_identity, saved_plan
from orchestrator.model import BundleOrigin, Cni, KubernetesPlan, Plan, Runtime
from orchestrator.observed import BuildableBundle, BusyPort, HostFolder, Observed, SourceContent, TakenNetwork
from orchestrator.paths import LabDir
from orchestrator.plan.source import OPEN_VERSIONS
from orchestrator.providers import registry
from orchestrator.spec import Spec

PROBE_SECONDS = 3.0
# MB of a finished bundle of Kubernetes and of the programs that are kept for the next one.
_RESULT_DISK = 3000


def observe(spec: Spec, directory: LabDir) -> Observed:
    """All facts that planning depends on. Starts nothing; probes the internet only when allowed, for 3 seconds."""
    facts = host.facts(directory.root)
    identity = lab_identity(directory, spec.lab.name)
    existing, others = existing_plan(directory), claims.others(directory)
    attached = load_attached(directory)
    key = signing_key(spec)
    cached = bundle.list_bundles(paths.cache_dir())
    bundles = tuple(content_of(content, key) for content in cached if content.kind == "lab")
    return Observed(
        uuid=identity.uuid,
        owner=identity.owner,
        cpus=facts.cpus,
        memory=facts.memory_total,
        disk_free=min(facts.disk_free_cache, facts.disk_free_lab),
        disk_path=str(paths.cache_dir()),
        kernel=facts.kernel,
        cgroup=facts.cgroup,
        providers=registry.states(),
        busy_ports=(*_claimed_ports(others), *_busy_ports(existing)),
        networks=(*_claimed_networks(others), *_networks(facts, existing)),
        bundles=bundles,
        buildable=_buildable(spec, {content.id for content in bundles}, existing),
        resolvers=facts.resolvers,
        inotify_limit=host.inotify_limit(),
        inotify_in_use=host.inotify_in_use(),
        addresses=addresses_of(spec),
        signed_by=str(key or ""),
        existing=existing,
        folders=_folders(spec),
        attached=attached.bundle if attached else "",
    )


def existing_plan(directory: LabDir) -> Plan | None:
    """The plan the lab was last built to; None when there is none or it cannot be read."""
    try:
        return saved_plan(directory)
    except (FileNotFoundError, ValueError):
        return None


def addresses_of(spec: Spec) -> Addresses | None:
    """The mirror's addresses that lab.yml names, None where it names none; files are relative to lab.yml."""
    mirror = spec.lab.packages.mirror
    if spec.lab.packages.source != "mirror":
        return None

    def file(name: str | None) -> str:
        return str(_beside_lab_yml(spec, name)) if name else ""

    return Addresses(
        url=mirror.url or "",
        hosts=mirror.hosts,
        keys={str(name): fingerprint for name, fingerprint in mirror.keys.items()},
        ca=file(mirror.ca),
        netrc=file(mirror.netrc),
    )


def signing_key(spec: Spec) -> Path | None:
    """The file with the public key that must have signed the bundle; None where lab.yml names none."""
    name = spec.lab.packages.signed_by
    return _beside_lab_yml(spec, name) if name else None


def _beside_lab_yml(spec: Spec, name: str) -> Path:
    return ((spec.file.parent if spec.file else Path()) / name).resolve()


def _folders(spec: Spec) -> tuple[HostFolder, ...]:
    """What stands in the places that lab.yml mounts, in its order; links are followed."""
    base = (spec.file.parent if spec.file else Path()).absolute()
    return tuple(_folder(base, mount.host) for mount in spec.lab.mounts)


def _folder(base: Path, name: str) -> HostFolder:
    try:
        place = (base / Path(name).expanduser()).resolve()
        return HostFolder(str(place), place.is_dir(), place.exists())
    except (OSError, RuntimeError):  # a loop of links, the home of nobody, a folder that this user may not enter
        return HostFolder(str(base / name), is_folder=False, exists=False)


def _published(spec: Spec, existing: Plan | None, cached: Collection[str]) -> Iterator[tuple[bundle.Recipe, str]]:
    """What the community, or the mirror, would have for this lab, newest first, and why it cannot be had now.

    Nobody is asked once a bundle is at hand, one of the ids `cached`.
    """
    source, known = spec.lab.packages.source, catalog.load()
    if source not in ("auto", "community", "mirror") or not spec.lab.kubernetes.enabled:
        return
    if known.guest(spec.lab.guest) is None:
        return
    origin: BundleOrigin = "mirror" if source == "mirror" else "community"
    addresses = addresses_of(spec) or bundle.trusted()
    version, kubernetes = spec.lab.kubernetes.version, existing.kubernetes if existing else None
    if kubernetes and version in OPEN_VERSIONS:
        version = kubernetes.version
    reason = ""
    for release in reversed(known.community_releases):
        if version not in OPEN_VERSIONS and minor(version) != release.minor:
            continue
        full = version if version.count(".") == 2 else release.newest_patch
        if release.final and number(full) > number(release.newest_patch):
            continue
        wish = bundle.Wish(full, spec.lab.guest, _runtime(spec), _cni(spec, kubernetes))
        recipe = bundle.community(wish, known, addresses, origin)
        if recipe.id in cached:
            yield recipe, ""
            reason = f"nobody asked, {full} is at hand"
        else:
            reason = reason or _out_of_reach(recipe, origin)
            yield recipe, reason


def _runtime(spec: Spec) -> Runtime:
    return spec.lab.kubernetes.runtime if spec.is_explicit("kubernetes.runtime") else "containerd"


def _cni(spec: Spec, existing: KubernetesPlan | None) -> Cni | None:
    named = spec.lab.kubernetes.cni
    return named if named != "auto" else existing.cni if existing else None


@functools.cache
def _answers(url: str, ca: str, netrc: str) -> str:
    """Why a URL cannot be read, empty when it can: asked once, for at most three seconds."""
    return probe(url, PROBE_SECONDS, ca=ca, netrc_file=netrc)


def _out_of_reach(recipe: bundle.Recipe, origin: BundleOrigin) -> str:
    """Why the community's repositories cannot be used: the one probe of the internet that labctl makes by itself."""
    assert recipe.upstream is not None
    if origin == "community" and host.offline():
        return "not probed: LABCTL_OFFLINE is set"
    addresses = recipe.upstream.addresses
    return _answers(addresses.place(recipe.upstream.repositories[0].key_url), addresses.ca, addresses.netrc)


def content_of(content: BundleInfo, key: Path | None = None) -> SourceContent:
    """A bundle as the plan sees it; with a public `key` it has to be signed with it."""
    flaw = bundle.find_flaw(content, key) if key else None
    return SourceContent(
        id=content.id,
        kubernetes=content.kubernetes,
        images=content.images,
        has_calico=content.has_calico,
        has_coredns=content.has_coredns,
        has_cri_dockerd="cri-dockerd" in content.packages,
        has_crictl="cri-tools" in content.packages or "cri-tools" in content.rpms,
        containerd=content.components.get("containerd", ""),
        components=content.components,
        guest=content.guest,
        docker_ce="docker-ce" in content.packages,
        unsigned=flaw.what if flaw else "",
        unsigned_fix=flaw.fix if flaw else "",
    )


def _promised(recipe: bundle.Recipe) -> SourceContent:
    """What a bundle will hold once it is made."""
    names, upstream = {package.name for package in recipe.packages}, recipe.upstream
    content = SourceContent(
        id=recipe.id,
        kubernetes=recipe.kubernetes,
        images=recipe.references,
        has_coredns=manifest.holds_coredns(recipe.references),
        has_cri_dockerd="cri-dockerd" in names,
        has_crictl="cri-tools" in names,
        containerd=recipe.versions.get("containerd", ""),
        components=recipe.versions,
    )
    if upstream is None:
        return content
    return replace(
        content,
        images=(*upstream.images, *recipe.references),
        has_calico=upstream.calico is not None,
        has_coredns=True,
        has_crictl=True,
        containerd=catalog.load().community.containerd,
        guest=upstream.guest,
        docker_ce=any("docker-ce" in one.packages for one in upstream.repositories),
    )


def _buildable(spec: Spec, cached: Collection[str], existing: Plan | None) -> tuple[BuildableBundle, ...]:
    """Every bundle that can be made for this lab, and whether this host can; `cached` are the ids at hand."""
    user = bundle.user_problem()
    published = [_buildable_by(recipe, reason, user) for recipe, reason in _published(spec, existing, cached)]
    own = [_buildable_by(recipe, _lacks(recipe, spec, cached), user) for recipe in bundle.available()]
    return (*published, *own)


def _lacks(recipe: bundle.Recipe, spec: Spec, cached: Collection[str]) -> str:
    """Why what is compiled here cannot be had; asked only where this lab may come to build it."""
    wanted = recipe.id not in cached and _asks_for(spec, recipe, bool(cached))
    return bundle.unreachable(paths.cache_dir(), recipe) if wanted else ""


def _asks_for(spec: Spec, recipe: bundle.Recipe, is_cached: bool) -> bool:
    """Whether this lab may come to build a bundle of the recipe: only then is its proxy asked."""
    version, source = spec.lab.kubernetes.version, spec.lab.packages.source
    if not recipe.kubernetes or source not in ("auto", recipe.origin):
        return False
    if not spec.lab.kubernetes.enabled:
        return source == recipe.origin
    if version in OPEN_VERSIONS:
        return not is_cached or source == recipe.origin
    return version in (recipe.kubernetes, minor(recipe.kubernetes))


def _buildable_by(recipe: bundle.Recipe, reason: str, user: Problem | None) -> BuildableBundle:
    """A bundle with what it takes here; `reason` says why its sources cannot be had, `user` what keeps this user."""
    cache = paths.cache_dir()
    if user:
        reason = user.what
    elif debian_mirror.find() is None:
        reason = f"this host has no Debian package mirror; {debian_mirror.SETTING}=URL names one"
    seconds, disk = bundle.seconds(cache, recipe), recipe.disk // 10**6 + (_RESULT_DISK if recipe.kubernetes else 0)
    return BuildableBundle(_promised(recipe), recipe.origin, not reason, reason, seconds, disk)


def _busy_ports(existing: Plan | None) -> tuple[BusyPort, ...]:
    """Every TCP port somebody listens on, this lab's own forwards left out."""
    own = set(existing.host_ports) if existing else set()
    return tuple(BusyPort(port) for port in sorted(host.listening_ports() - own))


def _claimed_ports(others: Sequence[claims.Claim]) -> list[BusyPort]:
    return [BusyPort(port, claim.holder) for claim in others for port in claim.ports]


def _claimed_networks(others: Sequence[claims.Claim]) -> list[TakenNetwork]:
    return [TakenNetwork(claim.subnet, claim.holder, claim.root.name) for claim in others]


def _networks(facts: host.HostFacts, existing: Plan | None) -> tuple[TakenNetwork, ...]:
    """The networks this host is on, those of other labs among them; this lab's own is among them once it runs."""
    own = existing.network.subnet if existing else ""
    return tuple(
        TakenNetwork(n.cidr, f"interface {n.interface} of this host", interface=n.interface)
        for n in facts.networks
        if n.cidr != own
    )
