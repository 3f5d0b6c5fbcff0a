"""Container images made without registry or engine: layers as tar files, written into one `docker load` archive."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.bundle import packages, worker_images
from orchestrator.bundle.manifest import ALL_IMAGES, WORKER_IMAGES
from orchestrator.bundle.packages import Closure
from orchestrator.bundle.recipe import ImageRecipe, Recipe
from orchestrator.bundle.registry import Image, blob_path
from orchestrator.bundle.root import BuildRoot

# One fixed time for all files and images: the same input gives the same layers.
EPOCH = 1577836800
_CREATED = "2020-01-01T00:00:00Z"
_MODES = {"bin": 0o755, "setuid": 0o4755, "file": 0o644}
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Layer:
    """A layer's tar file and its sha256, which is also its diff id."""

    path: Path
    sha256: str


class _Hashing(io.RawIOBase):
    """A file opened for writing that computes the sum of what is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self.digest.update(chunk)
        return self._file.write(chunk)

    def close(self) -> None:
        self._file.close()
        super().close()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info


def write_layer(
    tree: Path | None,
    files: Mapping[str, tuple[Path, int]],
    links: Mapping[str, str],
    target: Path,
    directories: Mapping[str, int] | None = None,
) -> Layer:
    """Write a layer from an unpacked tree plus single files (destination -> source, mode) and symbolic links.

    `directories` are empty ones with their modes. Everything belongs to root and carries one fixed time.
    """
    sink = _Hashing(target)
    with tarfile.open(fileobj=sink, mode="w|", bufsize=1 << 20, format=tarfile.GNU_FORMAT) as tar:
        placed: set[str] = set()
        instead = {name.lstrip("/") for name in (*files, *links)}
        for path in sorted(tree.rglob("*")) if tree else ():
            name = path.relative_to(tree).as_posix() if tree else ""
            if name in instead:
                continue
            state = path.lstat()
            if stat.S_ISLNK(state.st_mode):
                info = _entry(name, tarfile.SYMTYPE, 0o777)
                info.linkname = str(path.readlink())
                tar.addfile(info)
            elif stat.S_ISDIR(state.st_mode):
                tar.addfile(_entry(name, tarfile.DIRTYPE, stat.S_IMODE(state.st_mode)))
                placed.add(name)
            elif stat.S_ISREG(state.st_mode):
                _add_file(tar, name, path, stat.S_IMODE(state.st_mode))
        for destination, mode in (directories or {}).items():
            name = destination.lstrip("/")
            _add_parents(tar, name, placed)
            tar.addfile(_entry(name, tarfile.DIRTYPE, mode))
            placed.add(name)
        for destination in sorted({*files, *links}):
            name = destination.lstrip("/")
            _add_parents(tar, name, placed)
            if destination in links:
                info = _entry(name, tarfile.SYMTYPE, 0o777)
                info.linkname = links[destination]
                tar.addfile(info)
            else:
                _add_file(tar, name, *files[destination])
    sink.close()
    return Layer(target, sink.digest.hexdigest())


def _add_file(tar: tarfile.TarFile, name: str, path: Path, mode: int) -> None:
    info = _entry(name, tarfile.REGTYPE, mode)
    info.size = path.stat().st_size
    with path.open("rb") as stream:
        tar.addfile(info, stream)


def _add_parents(tar: tarfile.TarFile, name: str, placed: set[str]) -> None:
    for parent in reversed(Path(name).parents):
        directory = parent.as_posix()
        if directory not in (".", *placed):
            tar.addfile(_entry(directory, tarfile.DIRTYPE, 0o755))
            placed.add(directory)


def prune(tree: Path, patterns: Iterable[str]) -> None:
    """Remove documentation and the like from an unpacked tree; licence texts stay."""
    for pattern in patterns:
        for path in list(tree.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def base_layer(root: BuildRoot, recipe: Recipe, closure: Closure, target: Path) -> Layer:
    """The layer that all images with Debian packages share."""
    slim = closure.without(Closure({}), recipe.omit)
    tree = packages.extract(root, slim.files.values(), "image-base")
    prune(tree, recipe.prune)
    # What the maintainer scripts of base-files, base-passwd and dash would have done.
    files = {
        "/etc/passwd": (tree / "usr/share/base-passwd/passwd.master", 0o644),
        "/etc/group": (tree / "usr/share/base-passwd/group.master", 0o644),
        "/etc/nsswitch.conf": (tree / "usr/share/base-files/nsswitch.conf", 0o644),
        "/etc/profile": (tree / "usr/share/base-files/profile", 0o644),
        "/root/.profile": (tree / "usr/share/base-files/dot.profile", 0o644),
    }
    present = {name: entry for name, entry in files.items() if entry[0].is_file()}
    links = {} if (tree / "usr/bin/sh").exists() else {"/usr/bin/sh": "dash"}
    return write_layer(tree, present, links, target)


def package_layer(
    root: BuildRoot, recipe: Recipe, closure: Closure, image: ImageRecipe, compiled: Path, target: Path
) -> Layer:
    """The layer of one image: its packages beyond the base, its files, its links."""
    tree = None
    files = {
        destination: (packages.source_of(reference, recipe, compiled), _MODES[reference.partition(":")[0]])
        for destination, reference in image.files.items()
    }
    if image.packages:
        tree = packages.extract(root, closure.files.values(), f"image-{target.stem}")
        for part in () if image.scratch else packages.MERGED:
            (tree / part).unlink()  # the base has these links
        prune(tree, recipe.prune)
        certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
        if certificates:
            bundle = target.with_suffix(".crt")
            bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
            files["/etc/ssl/certs/ca-certificates.crt"] = (bundle, 0o644)
    links = {**{f"/usr/bin/{name}": "busybox" for name in image.applets}, **image.links}
    directories = {name: int(mode, 8) for name, mode in image.directories.items()}
    return write_layer(tree, files, links, target, directories)


def config(image: ImageRecipe, recipe: Recipe, layers: Iterable[Layer]) -> bytes:
    """The image's configuration as the Docker image specification 1.2 lays it out."""
    run: dict[str, object] = {
        "Env": [_PATH],
        "Entrypoint": list(image.entrypoint) or None,
        "Cmd": list(image.cmd) or None,
    }
    if image.ports:
        run["ExposedPorts"] = {port: {} for port in image.ports}
    if image.user:
        run["User"] = image.user
    if image.stop_signal:
        run["StopSignal"] = image.stop_signal
    body = {
        "architecture": recipe.architecture,
        "os": "linux",
        "created": _CREATED,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in layers]},
        "history": [{"created": _CREATED, "created_by": "labctl bundle build"} for _ in layers],
    }
    return json.dumps(body, sort_keys=True).encode()


@dataclass(frozen=True)
class Fetched:
    """Images as their registries have them, and the folder of their blobs."""

    images: tuple[Image, ...] = ()
    blobs: Path = Path()


def write_archive(
    images: Iterable[tuple[ImageRecipe, tuple[Layer, ...]]], fetched: Fetched, recipe: Recipe, target: Path
) -> None:
    """Write the archive that `docker load` and `ctr images import` read; a layer shared by images is stored once."""
    listing = []
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        stored: set[str] = set()
        for image, layers in images:
            body = config(image, recipe, layers)
            name = f"{hashlib.sha256(body).hexdigest()}.json"
            _add_bytes(tar, name, body)
            for layer in layers:
                if layer.sha256 not in stored:
                    stored.add(layer.sha256)
                    tar.addfile(_entry(layer.sha256, tarfile.DIRTYPE, 0o755))
                    _add_file(tar, f"{layer.sha256}/layer.tar", layer.path, 0o644)
            paths = [f"{layer.sha256}/layer.tar" for layer in layers]
            listing.append({"Config": name, "RepoTags": [image.ref], "Layers": paths})
        for one in fetched.images:
            for blob in one.blobs:
                if blob.digest not in stored:
                    stored.add(blob.digest)
                    _add_file(tar, f"blobs/sha256/{blob.digest}", blob_path(fetched.blobs, blob.digest), 0o644)
            paths = [f"blobs/sha256/{blob.digest}" for blob in one.layers]
            body_path = f"blobs/sha256/{one.config.digest}"
            listing.append({"Config": body_path, "RepoTags": [str(one.reference)], "Layers": paths})
        _add_bytes(tar, "manifest.json", json.dumps(listing).encode())


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = _entry(name, tarfile.REGTYPE, 0o644)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def references(archive: BinaryIO) -> list[str]:
    """The image references that an archive really holds."""
    with tarfile.open(fileobj=archive) as tar:
        member = tar.extractfile("manifest.json")
        entries = json.load(member) if member else []
    return [ref for entry in entries for ref in entry["RepoTags"] or ()]


def build(
    root: BuildRoot,
    recipe: Recipe,
    closures: Mapping[str, Closure],
    compiled: Path,
    fetched: Fetched,
    work: Path,
    target: Path,
    tick: Callable[[str], None],
) -> None:
    """Make all images of the recipe and write them, with those fetched, as archives into the directory `target`.

    `closures` has `base` and one entry per reference.
    """
    work.mkdir(parents=True, exist_ok=True)
    base = base_layer(root, recipe, closures["base"], work / "base.tar")
    finished = []
    for number, image in enumerate(recipe.images):
        tick(image.ref)
        below = Closure({}) if image.scratch else closures["base"]
        own = closures[image.ref].without(below, recipe.omit) if image.packages else Closure({})
        layer = package_layer(root, recipe, own, image, compiled, work / f"{number}.tar")
        finished.append((image, (layer,) if image.scratch else (base, layer)))
    write_archive(finished, fetched, recipe, target / ALL_IMAGES)
    if not recipe.is_suite:
        with (target / ALL_IMAGES).open("rb") as whole:
            worker_images.derive(whole, target / WORKER_IMAGES)
