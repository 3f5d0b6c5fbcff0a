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
    if requirements.calico and version not in OPEN_VERSIONS:
        wish = replace(requirements.request, version=version, cni="calico", cri_dockerd=True)
        refusals = resolve(wish, catalog)
        unknown = [one for one in refusals if one.field == "kubernetes.cni"] if isinstance(refusals, tuple) else []
        if unknown:
            diagnostics.refuse_all(tuple(unknown))
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
    requested = diagnostics.spec.lab.packages.source
    cached, able = _usable(diagnostics)
    if requested == "bundle":
        what = (
            "no bundle in the cache has Kubernetes"
            if diagnostics.observed.bundles
            else "there is no bundle in the cache"
        )
        return None if cached else (what, _NO_BUNDLE_FIX)
    if able or (requested == "auto" and cached):
        return None
    offers = [one for one in diagnostics.observed.buildable if requested in ("auto", one.origin)]
    reasons = list(dict.fromkeys(one.reason for one in offers if one.reason)) or ["nobody looked"]
    if requested == "auto":
        return (
            f"no package source: no bundle in the cache, none can be made here ({'; '.join(reasons)})",
            _NO_SOURCE_FIX,
        )
    fix = "check packages.mirror in lab.yml" if requested == "mirror" else _NO_SOURCE_FIX
    return f"no bundle can be made from {ORIGINS[requested]} here ({'; '.join(reasons)})", fix


def _usable(diagnostics: Diagnostics) -> tuple[list[SourceContent], list[BuildableBundle]]:
    """The bundles of the cache that a lab like this may take, and those that would be made for it here."""
    observed, needed = diagnostics.observed, diagnostics.spec.lab.kubernetes.enabled
    requested = diagnostics.spec.lab.packages.source
    cached = [content for content in observed.bundles if content.kubernetes or not needed]
    return cached, [
        one
        for one in observed.buildable
        if one.possible and bool(one.content.kubernetes) == needed and requested in ("auto", one.origin)
    ]


def _contents(diagnostics: Diagnostics) -> str:
    """What the sources have, in words."""
    requested, observed = diagnostics.spec.lab.packages.source, diagnostics.observed
    cached, able = _usable(diagnostics)
    parts: list[str] = []
    if requested in ("auto", "bundle"):
        versions = sorted({content.kubernetes for content in cached}, key=number)
        parts.append(f"bundles in the cache have {', '.join(versions)}" if versions else "no bundle is in the cache")
    for origin, name in ORIGINS.items():
        versions = sorted({one.content.kubernetes for one in able if one.origin == origin}, key=number)
        unable = next((one.reason for one in observed.buildable if one.origin == origin and not one.possible), "")
        if versions:
            span = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
            parts.append(f"{name} would give {span}")
        elif unable and requested in ("auto", origin):
            parts.append(f"{name} cannot be used ({unable})")
    return "; ".join(parts)


def _version_fix(version: str, diagnostics: Diagnostics) -> str:
    """What would help to get this version."""
    release = diagnostics.catalog.release(version)
    fixes = [f"`labctl bundle import` a bundle of {version}"]
    reachable = any(one.possible for one in diagnostics.observed.buildable if one.origin == "community")
    if release and release.community and not reachable:
        fixes.append("a connection to the community's repositories")
    if release and release.final and len(number(version)) == 3 and number(version) > number(release.newest_patch):
        fixes.append(f'kubernetes.version: "{release.newest_patch}", the last of its minor')
    return ", or ".join([*fixes, "kubernetes.version: auto"])
