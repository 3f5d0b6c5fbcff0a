"""What a bundle is made of: reads images/bundle/ and gives the hash of it all, which names the bundle."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import paths

# Counts up when the code of this package lays a bundle out differently from the same recipe.
LAYOUT = 1


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

    `control_plane`: only the control plane runs it, so the workers' archive leaves it out.
    """

    ref: str
    scratch: bool = False
    control_plane: bool = False
    packages: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    stop_signal: str = ""


@dataclass(frozen=True)
class Recipe:
    """All of bundle.toml; `directory` is where it and the files it names lie."""

    directory: Path
    kubernetes: str
    source: str
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

    @property
    def id(self) -> str:
        """The bundle's id: Kubernetes version and the hash of every input."""
        return f"kubernetes-{self.kubernetes}-{_hash(self.directory, '')}"

    @property
    def compiled_id(self) -> str:
        """The id of what the compiler makes: it outlives changes of packages and images."""
        inputs = repr((self.kubernetes, self.source, self.suite, self.architecture, self.compiler))
        digest = hashlib.sha256(inputs.encode())
        for part in ("compile.sh", "programs"):
            digest.update(_hash(self.directory, part).encode())
        return f"compiled-{self.kubernetes}-{digest.hexdigest()[:12]}"

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(image.ref for image in self.images)


def _hash(directory: Path, part: str) -> str:
    """Twelve hex digits over names and contents of all files, texts apart, of `part` of the recipe directory."""
    digest = hashlib.sha256(f"layout {LAYOUT}\n".encode())
    top = directory / part if part else directory
    files = [top] if top.is_file() else sorted(item for item in top.rglob("*") if item.is_file())
    for path in (item for item in files if item.suffix != ".md"):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(directory).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def load(directory: Path | None = None) -> Recipe:
    """Read the recipe that ships with labctl, or the one in `directory`."""
    directory = directory or paths.data("images", "bundle")
    with (directory / "bundle.toml").open("rb") as stream:
        body = tomllib.load(stream)
    return Recipe(
        directory=directory,
        kubernetes=body["kubernetes"],
        source=body["source"],
        suite=body["suite"],
        architecture=body["architecture"],
        compiler=tuple(body["root"]["compiler"]),
        tools=tuple(body["root"]["tools"]),
        disk=body["root"]["disk"] * 10**6,
        node_packages=tuple(body["nodes"]["packages"]),
        base_packages=tuple(body["base"]["packages"]),
        omit=frozenset(body["images"]["omit"]),
        prune=tuple(body["images"]["prune"]),
        packages=tuple(PackageRecipe(**_tuples(table)) for table in body["package"]),
        rpms=tuple(RpmTwin(**_tuples(table)) for table in body["rpm"]),
        images=tuple(ImageRecipe(**_tuples(table)) for table in body["image"]),
    )
