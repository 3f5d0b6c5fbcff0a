"""Gathers what planning depends on: host, providers, ports, networks, bundles, sources, and the lab as it is."""

from __future__ import annotations

import os
import tempfile
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import bundle, catalog, debian_mirror, host, paths
from orchestrator.bundle import BundleInfo, manifest
from orchestrator.catalog.versions import minor
from orchestrator.errors import LabError
from orchestrator.lab import claims
from orchestrator.lab.state import lab_identity, saved_plan
from orchestrator.model import Plan
from orchestrator.observed import BuildableBundle, BusyPort, Observed, SourceContent, TakenNetwork
from orchestrator.paths import LabDir
from orchestrator.plan.source import OPEN_VERSIONS
from orchestrator.providers import registry
from orchestrator.spec import Spec

PROBE_SECONDS = 3.0
MIRROR_SECONDS = 20.0
# MB of a finished bundle of Kubernetes and of the programs that are kept for the next one.
_RESULT_DISK = 3000


def observe(spec: Spec, directory: LabDir) -> Observed:
    """All facts that planning depends on. Starts nothing; probes the internet only when allowed, for 3 seconds."""
    facts = host.facts(directory.root)
    identity = lab_identity(directory, spec.lab.name)
    existing, others = existing_plan(directory), claims.others(directory)
    reachable, reason = _community(spec)
    mirror, mirror_reason = _mirror(spec)
    bundles = tuple(content_of(content) for content in bundle.list_bundles(paths.cache_dir()))
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
        buildable=_buildable(spec, facts, {content.id for content in bundles}),
        resolvers=facts.resolvers,
        community_reachable=reachable,
        community_reason=reason,
        mirror=mirror,
        mirror_reason=mirror_reason,
        existing=existing,
    )


def existing_plan(directory: LabDir) -> Plan | None:
    """The plan the lab was last built to; None when there is none or it cannot be read."""
    try:
        return saved_plan(directory)
    except (FileNotFoundError, ValueError):
        return None


def offline() -> bool:
    """Whether the internet is off limits (LABCTL_OFFLINE or --offline)."""
    return os.environ.get("LABCTL_OFFLINE", "") not in ("", "0")


def _community(spec: Spec) -> tuple[bool | None, str]:
    """Whether the community's package repository answers: the one probe of the internet that labctl makes by itself."""
    if spec.lab.packages.source not in ("auto", "community"):
        return None, f"not probed: packages.source is {spec.lab.packages.source}"
    if offline():
        return None, "not probed: LABCTL_OFFLINE is set"
    url = catalog.load().community.apt_url.format(minor=catalog.load().community_releases[-1].minor)
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS):
            return True, f"{url} answered"
    except (OSError, ValueError) as problem:
        return False, f"{url} did not answer within {PROBE_SECONDS:.0f} s: {problem}"


def _mirror(spec: Spec) -> tuple[SourceContent | None, str]:
    """What the mirror named in lab.yml says it has; its manifest is that of a bundle."""
    url = spec.lab.packages.mirror.url
    if spec.lab.packages.source != "mirror" or not url:
        return None, ""
    try:
        return replace(content_of(mirror_info(url)), id=url), ""
    except (OSError, ValueError, LabError) as problem:
        return None, f"{url}/manifest.json: {problem}"


def mirror_info(url: str) -> BundleInfo:
    """The content that a mirror of a bundle's layout declares. Raises OSError, or LabError for an invalid manifest."""
    with tempfile.TemporaryDirectory(prefix="labctl-") as directory:
        with urllib.request.urlopen(f"{url}/manifest.json", timeout=MIRROR_SECONDS) as answer:
            (Path(directory) / "manifest.json").write_bytes(answer.read())
        return bundle.load(Path(directory))


def content_of(content: BundleInfo) -> SourceContent:
    """A bundle as the plan sees it."""
    return _content(content.id, content.kubernetes, content.images, content.packages, content.components)


def _content(
    name: str, kubernetes: str, images: Sequence[str], packages: Collection[str], components: Mapping[str, str]
) -> SourceContent:
    return SourceContent(
        id=name,
        kubernetes=kubernetes,
        images=tuple(images),
        has_calico=manifest.holds_calico(images),
        has_coredns=manifest.holds_coredns(images),
        has_cri_dockerd="cri-dockerd" in packages,
        has_crictl="cri-tools" in packages,
        containerd=components.get("containerd", ""),
        components=components,
    )


def _buildable(spec: Spec, facts: host.HostFacts, cached: Collection[str]) -> tuple[BuildableBundle, ...]:
    """Every bundle that labctl has a recipe of, and whether this host can build it; `cached` are the ids at hand."""
    return tuple(_buildable_by(recipe, spec, facts, cached) for recipe in bundle.available())


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


def _buildable_by(recipe: bundle.Recipe, spec: Spec, facts: host.HostFacts, cached: Collection[str]) -> BuildableBundle:
    names = {package.name for package in recipe.packages}
    content = _content(recipe.id, recipe.kubernetes, recipe.references, names, recipe.versions)
    cache = paths.cache_dir()
    reason = ""
    if not facts.is_root:
        reason = "building a bundle takes root (it makes a Debian root directory)"
    elif debian_mirror.find() is None:
        reason = f"this host has no Debian package mirror; {debian_mirror.SETTING}=URL names one"
    elif recipe.id not in cached and _asks_for(spec, recipe, bool(cached)):
        reason = bundle.unreachable(cache, recipe)
    seconds, disk = bundle.seconds(cache, recipe), recipe.disk // 10**6 + (_RESULT_DISK if recipe.kubernetes else 0)
    return BuildableBundle(content, recipe.origin, not reason, reason, seconds, disk)


def _busy_ports(existing: Plan | None) -> tuple[BusyPort, ...]:
    """Every TCP port somebody listens on, this lab's own forwards left out."""
    own = {node.ssh_port for node in existing.nodes} if existing else set()
    if existing and existing.kubernetes:
        own.add(existing.kubernetes.api_port)
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
