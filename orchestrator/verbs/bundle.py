"""`labctl bundle`: build, take in, list and check bundles of the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator import bundle, host, paths
from orchestrator.bundle import BundleInfo
from orchestrator.errors import HostError, Problem, SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab.host_setup import Agree


def intent() -> dict[str, object]:
    """What `build` would do."""
    built = bundle.find(paths.cache_dir(), bundle.build_id())
    return {
        "would": "nothing: it is built" if built else "build",
        "id": bundle.build_id(),
        "in": str(paths.cache_dir()),
    }


def build(*, agree: Agree, emit: Emit) -> BundleInfo:
    """The bundle for this version of the recipes, built if it is missing or damaged. Raises HostError."""
    missing = [package for program, package in bundle.required_host_tools().items() if shutil.which(program) is None]
    if missing:
        command = host.install_command(host.package_manager(), missing)
        if not agree(f"Building needs {', '.join(missing)}. Install with `{command}`?"):
            raise HostError(f"this host lacks {', '.join(missing)}", fix=command)
        host.install_packages(missing)
    with phase(emit, "bundle", "Build the offline bundle from Debian's source package"):
        return bundle.build(paths.cache_dir(), emit, "bundle")


def take_in(source: Path, emit: Emit) -> BundleInfo:
    """Import a bundle from a directory or archive. Raises HostError when a file is not what its manifest says."""
    with phase(emit, "import", f"Import {source.name}"):
        return bundle.import_bundle(paths.cache_dir(), source, emit)


def import_intent(source: Path) -> list[str]:
    """What `take_in` would do, in sentences. Raises HostError for a directory that is no bundle."""
    into = f"in {paths.cache_dir()}"
    if not source.is_dir():
        return [f"unpack {source}, check every file against its manifest, place it {into}"]
    found = bundle.load(source)
    there = bundle.find(paths.cache_dir(), found.id) is not None
    return [
        f"check {len(found.files)} files against their manifest",
        f"{'replace' if there else 'place'} the bundle {found.id} (Kubernetes {found.kubernetes}) {into}",
    ]


def listed() -> list[BundleInfo]:
    """All bundles of the cache."""
    return bundle.list_bundles(paths.cache_dir())


def check(bundle_id: str | None) -> list[Problem]:
    """Every problem of one bundle or of all. Raises SpecError when there is no such bundle."""
    found = [one for one in listed() if bundle_id in (None, one.id)]
    if bundle_id is not None and not found:
        raise SpecError(f"there is no bundle {bundle_id}", fix="labctl bundle info")
    return [problem for one in found for problem in bundle.verify(one)]


def describe(one: BundleInfo) -> dict[str, object]:
    """What a person wants to know of a bundle."""
    return {
        "id": one.id,
        "kubernetes": one.kubernetes,
        "path": str(one.path),
        "size": f"{one.size // 2**20} MB",
        "images": list(one.images),
        "packages": len(one.packages),
        "rpms": len(one.rpms),
    }
