"""How the nodes reach the selected package source: its URLs, keys and registry."""

from __future__ import annotations

from orchestrator.catalog import Guest
from orchestrator.catalog.versions import minor
from orchestrator.model import SourcePlan
from orchestrator.plan.diagnostics import Diagnostics
from orchestrator.plan.source import SourceSelection


def source_plan(selection: SourceSelection, gateway: str, guest: Guest | None, diagnostics: Diagnostics) -> SourcePlan:
    """The source as the nodes use it."""
    catalog, mirror = diagnostics.catalog, diagnostics.spec.lab.packages.mirror
    to_build = " (to be built)" if selection.build else ""
    diagnostics.decide("packages.source", selection.kind + to_build, selection.reason)
    if selection.kind == "community":
        if not selection.version:
            return SourcePlan(kind="community")
        urls = catalog.community
        names = {"minor": minor(selection.version), "newest": catalog.releases[-1].minor}
        key = urls.rpm_key_url if guest and guest.family == "redhat" else urls.apt_key_url
        return SourcePlan(
            kind="community",
            key_url=key.format(**names),
            apt_url=urls.apt_url.format(**names),
            apt_suite=urls.apt_suite,
            rpm_url=urls.rpm_url.format(**names),
        )
    served = selection.kind == "bundle"
    url = f"http://{gateway}:{catalog.bundle_port}" if served else str(mirror.url)
    registry = None if served else mirror.image_registry
    has_images = bool(selection.content and selection.content.kubernetes)
    archive = f"{url}/images.tar" if has_images and not registry else None
    return SourcePlan(
        kind=selection.kind,
        bundle_id=selection.content.id if served and selection.content else None,
        build_bundle=selection.build,
        url=url,
        key_url=(None if served else mirror.key_url) or f"{url}/key.asc",
        image_registry=registry,
        image_archive_url=(None if served else mirror.image_archive_url) or archive,
        apt_url=f"{url}/apt",
        rpm_url=f"{url}/rpm",
    )
