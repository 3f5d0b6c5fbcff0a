"""`labctl bundle`: build, import, list and verify bundles of the cache."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import bundle, catalog, paths
from orchestrator.bundle import BundleInfo
from orchestrator.checks.host import install_remedy, package_names
from orchestrator.errors import HostError, Problem, SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab.build_tools import install_build_tools
from orchestrator.lab.fetching import is_url, local_file
from orchestrator.lab.host_setup import Agree
from orchestrator.lab.package_source import UNCONFIRMED, Confirmation
from orchestrator.model import ORIGINS, BundleOrigin, Cni, Runtime
from orchestrator.verify.job import SHELL_IMAGE, WEB_IMAGE


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


@dataclass(frozen=True)
class Wanted:
    """What a bundle is asked for: version or minor (empty: the newest), where from, and for which lab.

    Without `source` it is compiled here; `system` is a bundle without Kubernetes, `conformance` the suite of the
    version, `registry` the program of a lab's registry. `guest`, `runtime` and `cni` matter where it is fetched.
    """

    version: str = ""
    source: BundleOrigin | None = None
    system: bool = False
    guest: str = "debian-12"
    runtime: Runtime = "containerd"
    cni: Cni | None = None
    conformance: bool = False
    registry: bool = False


def build(wanted: Wanted, *, agree: Agree, emit: Emit, sums: Confirmation = UNCONFIRMED) -> BundleSummary:
    """The bundle of a Kubernetes version or minor, or that of system packages, made when it is missing or damaged.

    `sums` is what the user confirms of what is fetched. Raises SpecError, HostError.
    """
    if wanted.registry:
        with phase(emit, "bundle", "Compile the registry"):
            return BundleSummary(bundle.build_registry(paths.cache_dir(), emit, "bundle"))
    recipe = _recipe(wanted)
    if problem := bundle.system_problem():
        raise HostError(problem.what, fix=problem.fix)
    lacking = [program for program in bundle.required_host_tools() if shutil.which(program) is None]
    if unknown := [program for program in lacking if not package_names(program)]:
        elsewhere = "or build it on Debian and take it here: labctl bundle import FILE"
        raise HostError(f"this host lacks {', '.join(unknown)}", fix=f"{install_remedy(unknown[0])}; {elsewhere}")
    install_build_tools([name for program in lacking for name in package_names(program)], agree)
    with phase(emit, "bundle", f"Build the bundle from {ORIGINS[recipe.origin]}"):
        known = bundle.Known(paths.cache_dir() / bundle.KNOWN, sums.sums, sums.ask)
        return BundleSummary(bundle.build(paths.cache_dir(), recipe, emit, "bundle", known))


def _recipe(wanted: Wanted) -> bundle.Recipe:
    """The recipe of a version or minor, without one the newest. Raises SpecError with those that there are."""
    version = wanted.version
    if wanted.registry:
        return bundle.registry_recipe()
    if wanted.system and version:
        raise SpecError("a bundle of system packages has no Kubernetes", fix="--system or --kubernetes, not both")
    if wanted.conformance and (wanted.system or wanted.source not in (None, "modules")):
        raise SpecError(
            "a conformance suite is compiled from the Go module proxy", fix="labctl bundle build --conformance"
        )
    if wanted.source == "community":
        return _community(wanted)
    recipes = (
        tuple(bundle.suites())
        if wanted.conformance
        else tuple(
            one
            for one in bundle.available()
            if bool(one.kubernetes) != wanted.system and wanted.source in (None, one.origin)
        )
    )
    found = [one for one in recipes if version in ("", one.kubernetes, one.kubernetes.rpartition(".")[0])]
    if not found:
        known = ", ".join(one.kubernetes for one in recipes)
        raise SpecError(
            f"no recipe makes a {'conformance suite' if wanted.conformance else 'bundle'} of Kubernetes {version}",
            fix=f"labctl bundle build{' --conformance' * wanted.conformance} --kubernetes VERSION, with one of {known}",
        )
    return found[0]


def _community(wanted: Wanted) -> bundle.Recipe:
    """The recipe of what the community publishes. Raises SpecError for a version or guest that it has nothing for."""
    known, version = catalog.load(), wanted.version or catalog.load().community_releases[-1].newest_patch
    release = known.release(version)
    if release is None or not release.community:
        first, last = known.community_releases[0].minor, known.community_releases[-1].minor
        raise SpecError(
            f"the community's repositories have no Kubernetes {version}", fix=f"a version of {first} to {last}"
        )
    if known.guest(wanted.guest) is None:
        raise SpecError(f"{wanted.guest} is not in the catalog", fix="labctl catalog")
    full = version if version.count(".") == 2 else release.newest_patch
    wish = bundle.Wish(full, wanted.guest, wanted.runtime, wanted.cni)
    return bundle.community(wish, known, bundle.trusted())


def preview_build(wanted: Wanted) -> list[str]:
    """What `build` would do. Raises SpecError for a version that no recipe makes."""
    recipe, cache = _recipe(wanted), paths.cache_dir()
    name = f"the bundle {recipe.id} in {cache}"
    if bundle.find(cache, recipe.id):
        return [f"keep {name}"]
    if wanted.registry:
        return [f"build {name} from {ORIGINS[recipe.origin]}, about 2 min"]
    minutes = max(round(bundle.seconds(cache, recipe) / 60), 1)
    return [f"build {name} from {ORIGINS[recipe.origin]}, about {minutes} min"]


def import_bundle(source: str, key: Path | None, emit: Emit) -> BundleSummary:
    """Import a bundle from a directory, an archive or the URL of one; with a public `key` it has to be signed with it.

    Raises HostError when a file differs from its manifest, and for what cannot be fetched.
    """
    cache, needed = paths.cache_dir(), (WEB_IMAGE, SHELL_IMAGE)
    # What is fetched needs no sum: every file is compared with the manifest.
    with (
        phase(emit, "import", f"Import {source.rpartition('/')[2] or source}"),
        local_file(source, emit, "import", command="labctl bundle import") as file,
    ):
        return BundleSummary(bundle.import_bundle(cache, file, emit, "import", key=key, needed=needed))


def preview_import(source: str) -> list[str]:
    """What `import_bundle` would do. Raises HostError for a directory that is no bundle."""
    cache = paths.cache_dir()
    if is_url(source) or not Path(source).is_dir():
        done = f"fetch {source}, unpack it" if is_url(source) else f"unpack {source}"
        return [f"{done}, check every file against its manifest, place it in {cache}"]
    info = bundle.load(Path(source))
    place = "replace" if bundle.find(cache, info.id) else "place"
    return [
        f"check {len(info.files)} files against their manifest",
        f"{place} the bundle {info.id} ({info.title}) in {cache}",
    ]


@dataclass(frozen=True)
class Exported:
    """A bundle as a file, its size in MB."""

    id: str
    file: Path
    size: int
    schema = "labctl/bundle-export/v1"

    def as_dict(self) -> Mapping[str, Any]:
        """The body of the document."""
        return {"id": self.id, "file": str(self.file), "size": f"{self.size} MB"}


def export(bundle_id: str | None, target: Path, emit: Emit) -> Exported:
    """Write a bundle, without an id the newest, as one file. Raises SpecError when there is none, HostError."""
    info = _one(bundle_id)
    with phase(emit, "export", f"Export {info.id}"):
        bundle.export_bundle(info, target, emit)
    return Exported(info.id, target, target.stat().st_size // 10**6)


def preview_export(bundle_id: str | None, target: Path) -> list[str]:
    """What `export` would do. Raises SpecError when there is no such bundle."""
    return [f"write the bundle {_one(bundle_id).id} into {target}"]


def sign(bundle_id: str | None, key: Path) -> BundleSummary:
    """Sign a bundle, without an id the newest, with a private SSH key. Raises SpecError, HostError."""
    info = _one(bundle_id)
    bundle.sign(info, key)
    return BundleSummary(info)


def preview_sign(bundle_id: str | None, key: Path) -> list[str]:
    """What `sign` would do. Raises SpecError when there is no such bundle."""
    return [f"sign the bundle {_one(bundle_id).id} with {key}"]


def _one(bundle_id: str | None) -> BundleInfo:
    """A bundle of the cache, without an id the newest. Raises SpecError."""
    known = bundle.list_bundles(paths.cache_dir())
    found = [one for one in known if one.id == bundle_id or (bundle_id is None and one.kind == "lab")]
    if not found:
        raise SpecError(f"the cache has no bundle {bundle_id or ''}".rstrip(), fix="labctl bundle info")
    return found[-1]


def list_bundles() -> Bundles:
    """All bundles of the cache."""
    return Bundles(tuple(BundleSummary(info) for info in bundle.list_bundles(paths.cache_dir())))


def verify(bundle_id: str | None, key: Path | None = None) -> Verified:
    """Compare the files of one bundle, or of all, with their manifest, and the signatures with a public `key`.

    Raises SpecError for an unknown bundle, HostError for a bundle that is not signed with the key.
    """
    bundles = [one.info for one in list_bundles().bundles if bundle_id in (None, one.info.id)]
    if bundle_id is not None and not bundles:
        raise SpecError(f"the cache has no bundle {bundle_id}", fix="labctl bundle info")
    if key:
        for info in bundles:
            bundle.require_signature(info, key)
    return Verified(tuple(problem for info in bundles for problem in bundle.verify(info)))
