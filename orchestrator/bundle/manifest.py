"""A bundle on disk: its manifest, finding bundles in the cache, and the proof that no byte of one has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from orchestrator.bundle import pieces
from orchestrator.errors import HostError, LabError, Problem

SCHEMA = "labctl/bundle/v1"
MANIFEST = "manifest.json"
REBUILD = "labctl bundle build"
# Archives of images: for the control plane, which may run anything, and for the workers.
ALL_IMAGES = "images.tar"
WORKER_IMAGES = "worker-images.tar"
# Made by `ssh-keygen -Y sign`, for bundles that go from hand to hand.
SIGNATURE = f"{MANIFEST}.sig"
# The manifest of the pod network, in a bundle that has its images.
CALICO = "calico.yaml"


Kind = Literal["lab", "conformance", "registry"]


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle: `path` relative to its directory with forward slashes, `size` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class BundleInfo:
    """What a bundle says of itself, and where it lies.

    `kubernetes` is empty where there are the operating system's packages alone, and no images then.
    `packages` maps the names in the apt repository to their versions, `rpms` those of the rpm repository;
    `images` are references in images.tar; worker-images.tar, which a bundle may lack, holds those of them that a
    worker needs. `components` has the versions of what came with Kubernetes, where they are not the guest's or
    kubeadm's own. `digests` maps images that were fetched to the sha256 of what their tags named. `guest` is the one
    system whose packages it has, empty where it serves all. `kind`: what labs install from, a conformance suite,
    which has images and programs for the host and nothing else, or the program of a lab's registry.
    """

    id: str
    path: Path
    kubernetes: str
    packages: Mapping[str, str]
    rpms: Mapping[str, str]
    images: tuple[str, ...]
    files: tuple[BundleFile, ...]
    key_fingerprint: str
    components: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    guest: str = ""
    architecture: str = "amd64"
    kind: Kind = "lab"

    @property
    def title(self) -> str:
        """What it is a bundle of."""
        if self.kind == "conformance":
            return f"the conformance suite of Kubernetes {self.kubernetes}"
        if self.kind == "registry":
            return f"the registry of labs, distribution {self.components.get('registry', '')}"
        return f"Kubernetes {self.kubernetes}" if self.kubernetes else "system packages"

    @property
    def has_coredns(self) -> bool:
        return holds_coredns(self.images)

    @property
    def has_calico(self) -> bool:
        return holds_calico(self.images) and bool(self.sha256_of(CALICO))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def key_file(self) -> Path:
        return self.path / "key.asc"

    @property
    def image_archive(self) -> Path:
        return self.path / ALL_IMAGES

    def open(self, name: str) -> BufferedReader:
        """One of its files for reading, also one that is kept as pieces. Raises OSError or ValueError."""
        return pieces.open_file(self.path / name)

    @property
    def image_archive_sha256(self) -> str:
        return self.sha256_of(ALL_IMAGES)

    def sha256_of(self, name: str) -> str:
        """The sum that the manifest has of one file; empty when the bundle has no such file."""
        return next((file.sha256 for file in self.files if file.path == name), "")

    @property
    def kubectl(self) -> Path:
        return self.program("kubectl")

    def program(self, name: str) -> Path:
        """A program for the host."""
        return self.path / "bin" / name

    def as_manifest(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "kubernetes": self.kubernetes,
            "packages": dict(sorted(self.packages.items())),
            "rpms": dict(sorted(self.rpms.items())),
            "images": list(self.images),
            "files": [asdict(file) for file in self.files],
            "key_fingerprint": self.key_fingerprint,
            "components": dict(sorted(self.components.items())),
            "digests": dict(sorted(self.digests.items())),
            "guest": self.guest,
            "architecture": self.architecture,
            "kind": self.kind,
        }


def holds_coredns(images: Iterable[str]) -> bool:
    """Whether CoreDNS is among the references of images."""
    return any("/coredns" in ref for ref in images)


def holds_calico(images: Iterable[str]) -> bool:
    """Whether Calico is among the references of images."""
    return any("calico/" in ref for ref in images)


class BrokenBundleError(HostError):
    """A bundle is not what its manifest says; it must not be used."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def safe(path: str) -> bool:
    """Whether a path of a manifest or archive stays inside the bundle."""
    parts = PurePosixPath(path)
    return bool(path) and not parts.is_absolute() and ".." not in parts.parts and "\\" not in path and "\0" not in path


def load(directory: Path) -> BundleInfo:
    """Read the manifest of a bundle directory; raises BrokenBundleError when there is none or it makes no sense."""
    manifest = directory / MANIFEST
    try:
        body = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenBundleError(f"{directory} is not a bundle: it has no {MANIFEST}", fix=REBUILD) from None
    except (OSError, ValueError) as error:
        raise BrokenBundleError(f"{manifest} cannot be read: {error}", fix=REBUILD) from error
    try:
        if body["schema"] != SCHEMA:
            raise ValueError(f"its schema is {body['schema']!r}, not {SCHEMA}")
        files = tuple(BundleFile(str(f["path"]), str(f["sha256"]), int(f["size"])) for f in body["files"])
        info = BundleInfo(
            id=str(body["id"]),
            path=directory,
            kubernetes=str(body["kubernetes"]),
            packages={str(name): str(version) for name, version in body["packages"].items()},
            rpms={str(name): str(version) for name, version in body.get("rpms", {}).items()},
            images=tuple(str(ref) for ref in body["images"]),
            files=files,
            key_fingerprint=str(body["key_fingerprint"]),
            components={str(name): str(version) for name, version in body.get("components", {}).items()},
            digests={str(name): str(digest) for name, digest in body.get("digests", {}).items()},
            guest=str(body.get("guest", "")),
            architecture=str(body.get("architecture", "amd64")),
            kind=body["kind"] if body.get("kind") in get_args(Kind) else "lab",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenBundleError(f"{manifest} is not a bundle's manifest: {error}", fix=REBUILD) from error
    outside = [file.path for file in files if not safe(file.path)]
    if outside:
        raise BrokenBundleError(f"{manifest} names files outside the bundle: {outside[0]}", fix=REBUILD)
    if not safe(info.id) or "/" in info.id or info.id.startswith("."):
        raise BrokenBundleError(f"{manifest} has an id that cannot be a directory name: {info.id!r}", fix=REBUILD)
    return info


def write(bundle: BundleInfo) -> None:
    """Write manifest.json into the bundle's directory."""
    text = json.dumps(bundle.as_manifest(), indent=1) + "\n"
    (bundle.path / MANIFEST).write_text(text, encoding="utf-8")


def describe(directory: Path) -> tuple[BundleFile, ...]:
    """All files of a directory, but for the manifest itself, with their sums."""
    found = sorted(item for item in directory.rglob("*") if item.is_file() and item.name not in (MANIFEST, SIGNATURE))
    return tuple(
        BundleFile(item.relative_to(directory).as_posix(), file_sha256(item), item.stat().st_size) for item in found
    )


def verify(bundle: BundleInfo) -> list[Problem]:
    """Compare every file with the manifest; an empty list means that all bytes are as they were built."""
    problems = []
    for file in bundle.files:
        path = bundle.path / file.path
        where = f"{bundle.path.name}/{file.path}"
        if what := _flaw(path, file):
            problems.append(Problem(what, where, REBUILD))
    known = {file.path for file in bundle.files} | {MANIFEST, SIGNATURE} | _pieces(bundle)
    for item in sorted(bundle.path.rglob("*")):
        name = item.relative_to(bundle.path).as_posix()
        if (item.is_symlink() or not item.is_dir()) and name not in known:
            problems.append(Problem("is not in the manifest", f"{bundle.path.name}/{name}", REBUILD))
    return problems


def _flaw(path: Path, file: BundleFile) -> str:
    """What is wrong with a file; empty when it is what the manifest says."""
    try:
        if path.is_symlink():
            raise FileNotFoundError
        size = pieces.size_of(path)
        if size != file.size:
            return f"is {size} bytes long, not {file.size}"
        with pieces.open_file(path) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
                return "has other content than when it was built (sha256 differs)"
    except (OSError, ValueError):
        return "is missing or not a plain file"
    return ""


def _pieces(bundle: BundleInfo) -> set[str]:
    """The files that stand for those of the manifest which are kept as pieces."""
    try:
        return pieces.names(bundle.path, [file.path for file in bundle.files])
    except ValueError:
        return set()


def require_intact(bundle: BundleInfo) -> None:
    """Raise BrokenBundleError with every problem unless the bundle is exactly what its manifest says."""
    problems = verify(bundle)
    if problems:
        raise BrokenBundleError(
            f"bundle {bundle.id} is damaged and will not be used: {problems[0].where} {problems[0].what}",
            fix=REBUILD,
            problems=problems,
        )


def store(cache: Path) -> Path:
    """The directory of all bundles."""
    return cache / "bundles"


def list_bundles(cache: Path) -> list[BundleInfo]:
    """All bundles of the cache with a readable manifest, oldest Kubernetes and oldest build first; none is verified."""
    found = []
    top = store(cache)
    for item in sorted(top.iterdir()) if top.is_dir() else ():
        if item.is_dir() and not item.name.startswith("."):
            try:
                info = load(item)
            except LabError:
                continue
            if info.id == item.name:
                found.append(info)
    return sorted(found, key=_age)


def _age(info: BundleInfo) -> tuple[list[int], float, str]:
    version = [int(part) for part in info.kubernetes.split(".") if part.isdigit()]
    return version, (info.path / MANIFEST).stat().st_mtime, info.id


def find_suite(cache: Path, kubernetes: str) -> BundleInfo | None:
    """The newest conformance suite of a version in the cache, or None; nothing is verified."""
    suites = [one for one in list_bundles(cache) if one.kind == "conformance" and one.kubernetes == kubernetes]
    return suites[-1] if suites else None


def find(cache: Path, bundle_id: str) -> BundleInfo | None:
    """The bundle of that id, or None; nothing is verified."""
    return next((info for info in list_bundles(cache) if info.id == bundle_id), None)
