"""`labctl bundle`: build, import, list and verify bundles of the cache."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, catalog, paths
from orchestrator.bundle import BundleInfo
from orchestrator.catalog.versions import minor
from orchestrator.errors import Problem, SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab.build_tools import install_build_tools
from orchestrator.lab.host_setup import Agree
from orchestrator.model import ORIGINS


@dataclass(frozen=True)
class BundleSummary:
    """One bundle of the cache, in what its user needs to know."""

    info: BundleInfo
    schema = "labctl/bundle-info/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {
            "id": self.info.id,
            "kubernetes": self.info.kubernetes or "none",
            "path": str(self.info.path),
            "size": f"{self.info.size // 2**20} MB",
            "images": list(self.info.images),
            "packages": len(self.info.packages),
            "rpms": len(self.info.rpms),
        }


@dataclass(frozen=True)
class Bundles:
    """The bundles of the cache."""

    bundles: tuple[BundleSummary, ...]
    schema = "labctl/bundles/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {"bundles": [summary.as_dict() for summary in self.bundles]}


@dataclass(frozen=True)
class Verified:
    """Every file of the verified bundles that differs from its manifest."""

    problems: tuple[Problem, ...]
    schema = "labctl/bundle-verify/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {"problems": [{"file": problem.where, "what": problem.what} for problem in self.problems]}


def build(version: str, *, agree: Agree, emit: Emit, system: bool = False) -> BundleSummary:
    """The bundle of a Kubernetes version or minor, or that of system packages, built when it is missing or damaged.

    Raises SpecError, HostError.
    """
    recipe = _recipe(version, system)
    tools = bundle.required_host_tools().items()
    install_build_tools([package for program, package in tools if shutil.which(program) is None], agree)
    with phase(emit, "bundle", f"Build the bundle from {ORIGINS[recipe.origin]}"):
        return BundleSummary(bundle.build(paths.cache_dir(), recipe, emit, "bundle"))


def _recipe(version: str, system: bool) -> bundle.Recipe:
    """The recipe of a version or minor, without one the newest. Raises SpecError with those that there are."""
    if system and version:
        raise SpecError("a bundle of system packages has no Kubernetes", fix="--system or --kubernetes, not both")
    recipes = tuple(one for one in bundle.available() if bool(one.kubernetes) != system)
    found = [one for one in recipes if version in ("", one.kubernetes, one.kubernetes.rpartition(".")[0])]
    if not found:
        known = ", ".join(one.kubernetes for one in recipes)
        raise SpecError(
            f"no recipe makes a bundle of Kubernetes {version}",
            fix=f"labctl bundle build --kubernetes VERSION, with one of {known}",
        )
    return found[0]


@dataclass(frozen=True)
class PinnedVersion:
    """A version that was pinned: where, and what changed there."""

    version: str
    directory: Path
    changed: tuple[str, ...]
    schema = "labctl/bundle-pin/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {"version": self.version, "directory": str(self.directory), "changed": list(self.changed)}


def pin(version: str, emit: Emit) -> PinnedVersion:
    """Pin a Kubernetes version from the Go module proxy, in the checkout that labctl runs from.

    Raises SpecError for what is no version or no checkout, HostError when the proxy lacks something.
    """
    version, recipes = _pinnable(version)
    releases = Path(catalog.__file__).parent / "data" / "releases.yml"
    with phase(emit, "pin", f"Pin Kubernetes {version} from {ORIGINS['modules']}"):
        pinned = bundle.pin(version, recipes, paths.cache_dir())
        known = bundle.add_to_catalog(version, pinned.pause, releases)
    changed = (*pinned.changed, *([releases.name] if known else []))
    return PinnedVersion(version, pinned.directory, changed)


def preview_pin(version: str) -> list[str]:
    """What `pin` would do; raises SpecError as it does."""
    version, recipes = _pinnable(version)
    folder = recipes / "modules" / f"kubernetes-{minor(version)}"
    return [f"write go.mod, go.sum and release.toml in {folder}", f"make {version} known in releases.yml"]


def _pinnable(version: str) -> tuple[str, Path]:
    """The version without its v, and the folder of the recipes. Raises SpecError."""
    if not re.fullmatch(r"v?1\.\d+\.\d+(-[a-z]+\.\d+)?", version):
        raise SpecError(f"{version!r} is no full version", fix="labctl bundle pin 1.37.2")
    recipes = paths.data("images", "bundle")
    if not os.access(recipes, os.W_OK) or paths.is_installed():
        raise SpecError(f"{recipes} belongs to an installed labctl", fix="run ./labctl bundle pin in a checkout")
    return version.removeprefix("v"), recipes


def preview_build(version: str, system: bool = False) -> list[str]:
    """What `build` would do. Raises SpecError for a version that no recipe makes."""
    recipe, cache = _recipe(version, system), paths.cache_dir()
    name = f"the bundle {recipe.id} in {cache}"
    if bundle.find(cache, recipe.id):
        return [f"keep {name}"]
    minutes = max(round(bundle.seconds(cache, recipe) / 60), 1)
    return [f"build {name} from {ORIGINS[recipe.origin]}, about {minutes} min"]


def import_bundle(source: Path, emit: Emit) -> BundleSummary:
    """Import a bundle from a directory or archive. Raises HostError when a file differs from its manifest."""
    with phase(emit, "import", f"Import {source.name}"):
        return BundleSummary(bundle.import_bundle(paths.cache_dir(), source, emit))


def preview_import(source: Path) -> list[str]:
    """What `import_bundle` would do. Raises HostError for a directory that is no bundle."""
    cache = paths.cache_dir()
    if not source.is_dir():
        return [f"unpack {source}, check every file against its manifest, place it in {cache}"]
    info = bundle.load(source)
    place = "replace" if bundle.find(cache, info.id) else "place"
    return [
        f"check {len(info.files)} files against their manifest",
        f"{place} the bundle {info.id} ({info.title}) in {cache}",
    ]


def list_bundles() -> Bundles:
    """All bundles of the cache."""
    return Bundles(tuple(BundleSummary(info) for info in bundle.list_bundles(paths.cache_dir())))


def verify(bundle_id: str | None) -> Verified:
    """Compare the files of one bundle, or of all, with their manifest. Raises SpecError for an unknown bundle."""
    bundles = [one.info for one in list_bundles().bundles if bundle_id in (None, one.info.id)]
    if bundle_id is not None and not bundles:
        raise SpecError(f"the cache has no bundle {bundle_id}", fix="labctl bundle info")
    return Verified(tuple(problem for info in bundles for problem in bundle.verify(info)))
