"""What a bundle is made of, and the hash of its inputs, which names the bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestrator.addresses import THEMSELVES, Addresses
from orchestrator.catalog.facts import Repository
from orchestrator.model import BundleOrigin

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
    """An image: unpacked Debian packages over the shared base (or nothing, when `scratch`), then files and links.

    `applets` are links to busybox; `directories` map empty directories to their modes.
    """

    ref: str
    scratch: bool = False
    packages: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    stop_signal: str = ""
    user: str = ""
    applets: tuple[str, ...] = ()
    directories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModuleRecipe:
    """Programs (name -> package) built in one go from a pinned go.mod and go.sum in `directory`.

    `version` is that of `module` in go.mod, `variables` are set by the linker, `seconds` is what the build takes on two
    cores. `inside`: it needs a C compiler and is built in the build root. `tests` are programs too (name -> package):
    the tests of a package.
    """

    name: str
    directory: Path
    programs: Mapping[str, str]
    seconds: float
    module: str = ""
    version: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    inside: bool = False
    tests: Mapping[str, str] = field(default_factory=dict)


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
    `host_programs` are the compiled programs that this host runs.
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
    host_programs: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The bundle's id: Kubernetes version, if there is one, and the hash of every input."""
        name = f"kubernetes-{self.kubernetes}" if self.kubernetes else self.origin
        name = f"{self.origin}-{self.kubernetes}" if self.is_suite else name
        also = (LAYOUT, self.upstream.identity) if self.upstream else LAYOUT
        return f"{name}-{self.digest(self.inputs, also)}"

    @property
    def is_suite(self) -> bool:
        """Whether it makes the conformance suite of a version, beside the bundle that its labs install from."""
        return self.origin == "conformance"

    @property
    def files(self) -> Path:
        """Where the files lie that `file:` names."""
        return self.directory / ("conformance/files" if self.is_suite else "files")

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
