"""Selects the package source of a lab, or records why there is none and what would help."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.catalog import resolve
from orchestrator.catalog.resolve import unknown_version
from orchestrator.catalog.versions import number
from orchestrator.model import ORIGINS
from orchestrator.observed import BuildableBundle, SourceContent
from orchestrator.plan.diagnostics import Diagnostics
from orchestrator.plan.source import OPEN_VERSIONS, Requirements, SourceSelection, first

_NO_BUNDLE_FIX = "`labctl bundle build` where it may look outside, or `labctl bundle import FILE`"
_NO_SOURCE_FIX = "`labctl bundle import FILE`, a packages.mirror, or a connection to the internet"


def select(requirements: Requirements, diagnostics: Diagnostics) -> SourceSelection | None:
    """The source that fits; None after recording why there is none."""
    version, catalog = requirements.version, diagnostics.catalog
    if requirements.kubernetes and version not in OPEN_VERSIONS and catalog.release(version) is None:
        diagnostics.refuse_all((unknown_version(version, catalog),))
        return None
    selection = first(requirements, diagnostics)
    if selection is None:
        _explain(requirements, diagnostics)
    return selection


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
        if relaxed != requirements and first(relaxed, diagnostics):
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
    cached, able = _usable(diagnostics)
    reasons = list(dict.fromkeys(one.reason for one in observed.buildable if one.reason)) or ["nobody looked"]
    build = f"one cannot be built here ({'; '.join(reasons)})"
    outside = observed.community_reason or "nobody looked"
    if requested == "mirror":
        url = observed.mirror_reason or "it could not be read"
        fix = "check packages.mirror.url: it must have a bundle's manifest.json"
        return None if observed.mirror else (f"the mirror cannot be used: {url}", fix)
    if requested in ORIGINS:
        what = f"no bundle can be built from {ORIGINS[requested]} here ({'; '.join(reasons)})"
        return None if any(one.origin == requested for one in able) else (what, _NO_SOURCE_FIX)
    if requested == "bundle":
        what = "no bundle in the cache has Kubernetes" if observed.bundles else "there is no bundle in the cache"
        return None if cached else (what, _NO_BUNDLE_FIX)
    if observed.community_reachable or (requested == "auto" and (cached or able)):
        return None
    if requested == "community":
        return f"the community's repositories are not reachable ({outside})", "connect, or packages.source: auto"
    return f"no package source: no bundle in the cache, {build}, nothing outside ({outside})", _NO_SOURCE_FIX


def _usable(diagnostics: Diagnostics) -> tuple[list[SourceContent], list[BuildableBundle]]:
    """The bundles of the cache that a lab like this may take, and those that would be built for it here."""
    observed, needed = diagnostics.observed, diagnostics.spec.lab.kubernetes.enabled
    cached = [content for content in observed.bundles if content.kubernetes or not needed]
    return cached, [one for one in observed.buildable if one.possible and bool(one.content.kubernetes) == needed]


def _contents(diagnostics: Diagnostics) -> str:
    """What the sources have, in words."""
    requested, observed = diagnostics.spec.lab.packages.source, diagnostics.observed
    parts: list[str] = []
    if requested not in ("community", "mirror"):
        cached, able = _usable(diagnostics)
        versions = sorted({content.kubernetes for content in cached}, key=number)
        parts.append(f"bundles in the cache have {', '.join(versions)}" if versions else "no bundle is in the cache")
        if able:
            parts.append(f"a bundle built here would have {' or '.join(one.content.kubernetes for one in able)}")
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
