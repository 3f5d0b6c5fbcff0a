"""What a bundle is made of: reads images/bundle/ and gives the hash of its inputs, which names the bundle."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.catalog.facts import Repository
from orchestrator.model import THEMSELVES, Addresses, BundleOrigin

# Counts up when the code of this package packs a bundle differently from the same recipe; what is compiled stays.
LAYOUT = 3
# The Go module of Kubernetes.
KUBERNETES = "k8s.io/kubernetes"


@dataclass(frozen=True)
class PackageRecipe:
    """A package built here as .deb and .rpm; `files` map a destination to its source (see bundle.toml)."""

    name: str
    summary: str
    version_of: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    deb_files: Mapping[str, str] = field(default_factory=dict)
    rpm_files: Mapping[str, str] = field(default_factory=dict)
    deb_depends: tuple[str, ...] = ()
    rpm_requires: tuple[str, ...] = ()
    rpm_recommends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    enable: str = ""


@dataclass(frozen=True)
class RpmTwin:
    """An rpm that holds the files of Debian packages, the first of which gives it its version."""

    name: str
    debs: tuple[str, ...]
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageRecipe:
    """An image: unpacked Debian packages over the shared base (or nothing, when `scratch`), then files and links."""

    ref: str
    scratch: bool = False
    packages: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    stop_signal: str = ""


@dataclass(frozen=True)
class ModuleRecipe:
    """Programs (name -> package) built in one go from a pinned go.mod and go.sum in `directory`.

    `version` is that of `module` in go.mod, `variables` are set by the linker, `seconds` is what the build takes on two
    cores. `inside`: it needs a C compiler and is built in the build root.
    """

    name: str
    directory: Path
    programs: Mapping[str, str]
    seconds: float
    module: str = ""
    version: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    inside: bool = False


@dataclass(frozen=True)
class Archive:
    """A file on the web: `name` is that of its sum, which is None while nobody computed it."""

    name: str
    url: str
    sha256: str | None


@dataclass(frozen=True)
class Upstream:
    """What is fetched beside the operating system's packages.

    `calico` is the manifest of the pod network, None where a firewall for bridge_cni is taken: `images` has it then.
    """

    guest: str
    family: str
    repositories: tuple[Repository, ...]
    images: tuple[str, ...]
    calico: Archive | None
    cri_dockerd: Archive | None
    addresses: Addresses = THEMSELVES

    @property
    def identity(self) -> str:
        """Changes with everything that decides what is fetched; where from, and who may sign, is no part of it."""
        words = {name: value for name, value in asdict(self).items() if name != "addresses"}
        return hashlib.sha256(
            repr((words, self.addresses.url, sorted(self.addresses.hosts.items()))).encode()
        ).hexdigest()


@dataclass(frozen=True)
class Recipe:
    """All of common.toml and of the origin's own file; `directory` is where they and the files they name lie.

    `source` names Debian's source package, `modules` what is compiled from Go modules, `upstream` what is fetched from
    the community: a recipe has one of them, and that of the operating system's packages none, no `kubernetes` and no
    images.
    `versions` maps the components to their versions. `inputs` are the files whose content makes the bundle's id.
    """

    origin: BundleOrigin
    directory: Path
    inputs: tuple[Path, ...]
    kubernetes: str
    suite: str
    architecture: str
    compiler: tuple[str, ...]
    tools: tuple[str, ...]
    disk: int
    node_packages: tuple[str, ...]
    base_packages: tuple[str, ...]
    omit: frozenset[str]
    prune: tuple[str, ...]
    packages: tuple[PackageRecipe, ...]
    rpms: tuple[RpmTwin, ...]
    images: tuple[ImageRecipe, ...]
    source: str = ""
    revision: str = "1"
    modules: tuple[ModuleRecipe, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    upstream: Upstream | None = None

    @property
    def id(self) -> str:
        """The bundle's id: Kubernetes version, if there is one, and the hash of every input."""
        name = f"kubernetes-{self.kubernetes}" if self.kubernetes else self.origin
        also = (LAYOUT, self.upstream.identity) if self.upstream else LAYOUT
        return f"{name}-{self.digest(self.inputs, also)}"

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(image.ref for image in self.images)

    def digest(self, files: tuple[Path, ...], also: object = "") -> str:
        """Twelve hex digits over names and contents of `files`, and over `also`."""
        digest = hashlib.sha256(f"layout 1 {also!r}\n".encode())
        for path in files:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.directory).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()[:12]

    def files_below(self, *parts: str) -> tuple[Path, ...]:
        """The inputs in these folders or files of the recipe's directory."""
        tops = [self.directory / part for part in parts]
        return tuple(path for path in self.inputs if any(path == top or top in path.parents for top in tops))


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def minors(directory: Path | None = None) -> tuple[str, ...]:
    """The minors of Kubernetes whose modules are pinned, newest first."""
    top = (directory or _directory()) / "modules"
    found = [path.name.removeprefix("kubernetes-") for path in top.glob("kubernetes-*")]
    return tuple(sorted(found, key=lambda minor: int(minor.partition(".")[2]), reverse=True))


def available(directory: Path | None = None) -> Iterator[Recipe]:
    """Every bundle that can be built: those of Go modules, newest first, Debian's, that of system packages alone."""
    for minor in minors(directory):
        yield load("modules", minor, directory)
    yield load("debian", directory=directory)
    yield load("system", directory=directory)


def _directory() -> Path:
    return paths.data("images", "bundle")


def load(origin: BundleOrigin = "debian", minor: str = "", directory: Path | None = None) -> Recipe:
    """Read a recipe that ships with labctl, or of `directory`; `minor` (1.37) chooses among those of Go modules."""
    directory = directory or _directory()
    common, body = _read(directory / "common.toml"), _read(directory / f"{origin}.toml")
    modules, versions = _modules(directory, body, minor) if origin == "modules" else ((), {})
    if modules:
        body = _filled(body, versions)
    # The teaching images are for a cluster.
    images = () if origin == "system" else (*body.get("image", ()), *common["image"])
    return Recipe(
        origin=origin,
        directory=directory,
        inputs=_inputs(directory, origin, minor),
        kubernetes=body.get("kubernetes") or versions.get("kubernetes", ""),
        source=body.get("source", ""),
        revision=body.get("revision", "1"),
        suite=common["suite"],
        architecture=common["architecture"],
        compiler=tuple(body["root"]["compiler"]),
        tools=tuple(body["root"]["tools"]),
        disk=body["root"]["disk"] * 10**6,
        node_packages=tuple(common["nodes"]["packages"]),
        base_packages=tuple(common["base"]["packages"]),
        omit=frozenset(common["images"]["omit"]),
        prune=tuple(common["images"]["prune"]),
        packages=tuple(PackageRecipe(**_tuples(table)) for table in body.get("package", ())),
        rpms=tuple(RpmTwin(**_tuples(table)) for table in body.get("rpm", ())),
        images=tuple(ImageRecipe(**_tuples(table)) for table in images),
        modules=modules,
        versions=versions,
    )


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return tomllib.load(stream)


def _inputs(directory: Path, origin: BundleOrigin, minor: str) -> tuple[Path, ...]:
    """All files that a recipe may read, texts and the parts of other recipes left out."""
    own = {"debian": ("debian",), "modules": ("modules",)}.get(origin, ())
    parts = ("common.toml", f"{origin}.toml", *own, *(() if origin == "system" else ("programs", "files")))
    tops = [directory / part for part in parts]
    found = {path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()}
    other = {f"kubernetes-{one}" for one in minors(directory) if one != minor}
    return tuple(sorted(path for path in found if path.suffix != ".md" and not other & set(path.parts)))


def _modules(directory: Path, body: dict[str, Any], minor: str) -> tuple[tuple[ModuleRecipe, ...], dict[str, str]]:
    """The modules with their versions, read from the go.mod of each."""
    release = _read(directory / "modules" / f"kubernetes-{minor}" / "release.toml")
    versions = {"pause": release["pause"]}
    found = []
    for table in body["module"]:
        name = table["name"]
        place = directory / "modules" / table.pop("directory", name).format(minor=minor)
        version = required_version(place / "go.mod", table["module"]) if "module" in table else ""
        if version:
            versions[name.replace("-", "_")] = version
        facts = {"version": version, "date": release["date"], "major": minor.partition(".")[0]}
        facts["minor_number"] = minor.partition(".")[2]
        variables = {key: value.format(**facts) for key, value in table.pop("variables", {}).items()}
        found.append(ModuleRecipe(directory=place.resolve(), version=version, variables=variables, **table))
    return tuple(found), versions


def programs_of(module: str, directory: Path) -> Mapping[str, str]:
    """The programs (name -> package) that the recipe of Go modules builds from a module, whatever its version."""
    tables = _read(directory / "modules.toml")["module"]
    return next(table["programs"] for table in tables if table.get("module") == module)


def required_version(go_mod: Path, module: str) -> str:
    """The version, without its v, that a go.mod requires of a module. Raises ValueError when it requires none."""
    match = re.search(rf"^(?:require)?\s*{re.escape(module)} v(\S+)", go_mod.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{go_mod} does not require {module}")
    return match.group(1)


def _filled(value: Any, versions: Mapping[str, str]) -> Any:
    """A recipe's tables with the versions in the place of `{component}` in references of images."""
    images = [{**image, "ref": image["ref"].format(**versions)} for image in value["image"]]
    return {**value, "image": images}
