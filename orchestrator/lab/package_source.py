"""The planned package source: made sure to exist, and served to the nodes while they need it."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator import bundle, paths
from orchestrator.bundle import BundleInfo, Served, manifest
from orchestrator.errors import HostError, SpecError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab.observe import MIRROR_SECONDS, mirror_info
from orchestrator.lab.state import Lab
from orchestrator.model import ORIGINS, Plan, SourceAccess, SourcePlan
from orchestrator.paths import LabDir, write_private, write_private_copy


def ensure_source(plan: Plan, emit: Emit) -> None:
    """Build the planned bundle when it is yet to be built, or when it is our own and damaged.

    Raises HostError for a damaged bundle that cannot be built here, an imported one.
    """
    source = plan.source
    if source.kind != "bundle" or source.bundle_id is None:
        return
    recipe = next((recipe for recipe in bundle.available() if recipe.id == source.bundle_id), None)
    if source.build_bundle and recipe:
        with phase(emit, "bundle", f"Build the bundle from {ORIGINS[recipe.origin]} (once)"):
            bundle.build(paths.cache_dir(), recipe, emit, "bundle")
    with phase(emit, "bundle", "Check the bundle"):
        planned = planned_bundle(plan)
        problems = bundle.verify(planned)
        if problems and recipe:
            emit(Note(phase="bundle", text=f"{problems[0].where} {problems[0].what}: rebuilding the bundle"))
            bundle.build(paths.cache_dir(), recipe, emit, "bundle")
        elif problems:
            raise HostError(
                f"the bundle {planned.id} in {planned.path} is damaged",
                problems=problems,
                fix="labctl bundle build   (rebuilds a damaged bundle)",
            )


@contextmanager
def serve_source(plan: Plan, directory: LabDir, emit: Emit) -> Iterator[SourceAccess]:
    """How the nodes reach packages and images for the length of the block; a bundle is served over HTTP meanwhile."""
    source = plan.source
    access = SourceAccess(
        apt_url=source.apt_url or "",
        apt_suite=source.apt_suite,
        rpm_url=source.rpm_url or "",
        key_url=source.key_url or "",
        **_calico(directory.calico_manifest),
    )
    if source.kind == "community":
        yield access
        return
    if source.kind == "mirror":
        key = _mirror_key(source.key_url or f"{source.url}/key.asc", directory)
        yield replace(access, key_file=str(key), key_url="", **_mirror_archives(source))
        return
    planned = planned_bundle(plan)
    with serve_bundle(planned, plan):
        emit(Note(phase="converge", text=f"serving packages to the nodes at {source.url}"))
        key = write_private_copy(planned.key_file, _bundle_key(directory))
        yield replace(access, key_file=str(key), key_url="", **_archives(source.url or "", planned))


def known_bundle(lab: Lab) -> BundleInfo:
    """The bundle that the nodes of a lab install from.

    Raises SpecError for a lab with another source, HostError when it is not in the cache any more or the nodes do not
    trust its key: a bundle that is built again has a new one.
    """
    plan, key = lab.plan, _bundle_key(lab.directory)
    if plan.source.kind != "bundle":
        place = plan.source.url or "their distribution's and the community's repositories"
        raise SpecError(
            f"the nodes of {plan.name} have no bundle: they install from {place}, whenever it is reachable",
            fix="labctl exec -- sudo apt-get install PACKAGE   (or dnf)",
        )
    known = planned_bundle(plan)
    if not key.exists() or key.read_bytes() != known.key_file.read_bytes():
        raise HostError(
            f"the nodes of {plan.name} do not have the key of the bundle {known.id} in {known.path.parent}",
            fix="labctl provision   (gives them the key)",
        )
    return known


def serve_bundle(planned: BundleInfo, plan: Plan) -> AbstractContextManager[Served]:
    """Serve a bundle where the nodes look for it. Raises HostError for a taken port."""
    return bundle.serve(planned, plan.network.gateway, urlsplit(plan.source.url or "").port or 80)


def _bundle_key(directory: LabDir) -> Path:
    """The copy of the key that the nodes were given."""
    return directory.root / "bundle-key.asc"


def _calico(manifest: Path) -> dict[str, str]:
    if not manifest.exists():
        return {}
    # Confirmed when it was placed; the role compares again, on the way to the API server.
    return {
        "calico_manifest": str(manifest),
        "calico_manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
    }


def planned_bundle(plan: Plan) -> BundleInfo:
    """The bundle that the plan names. Raises HostError when it is no longer in the cache."""
    planned = bundle.find(paths.cache_dir(), plan.source.bundle_id or "")
    if planned is None:
        raise HostError(
            f"the bundle {plan.source.bundle_id} is not in {paths.cache_dir()} any more",
            fix="labctl provision   (takes another, or builds one; labctl bundle import FILE brings it back)",
        )
    return planned


def _mirror_key(url: str, directory: LabDir) -> Path:
    """Fetch the mirror's signing key into the lab's state; what it signs is checked by the nodes' package managers."""
    try:
        with urllib.request.urlopen(url, timeout=MIRROR_SECONDS) as answer:
            text = answer.read().decode("ascii")
    except (OSError, ValueError) as problem:
        raise HostError(
            f"the mirror's key cannot be fetched from {url}: {problem}", fix="check packages.mirror in lab.yml"
        ) from None
    write_private(directory.root / "mirror-key.asc", text)
    return directory.root / "mirror-key.asc"


def _archives(base: str, content: BundleInfo) -> dict[str, str]:
    """The image archives below `base`, with their sums; a bundle of an earlier layout has none for the workers."""
    archives = {"image_archive": manifest.ALL_IMAGES, "worker_archive": manifest.WORKER_IMAGES}
    present = {key: name for key, name in archives.items() if content.sha256_of(name)}
    urls = {f"{key}_url": f"{base}/{name}" for key, name in present.items()}
    return urls | {f"{key}_sha256": content.sha256_of(name) for key, name in present.items()}


def _mirror_archives(source: SourcePlan) -> dict[str, str]:
    """The mirror's own archives, or the one that lab.yml names in their place, whose sum the mirror must know."""
    if not source.image_archive_url:
        return {}
    content = mirror_info(source.url or "")
    if source.image_archive_url == f"{source.url}/{manifest.ALL_IMAGES}":
        return _archives(source.url or "", content)
    return {"image_archive_url": source.image_archive_url, "image_archive_sha256": content.image_archive_sha256}
