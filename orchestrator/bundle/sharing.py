"""What several bundles of the cache have in common, files and layers of images, lies on the disk once."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.bundle import manifest, pieces
from orchestrator.bundle.manifest import ALL_IMAGES, WORKER_IMAGES, BundleInfo

# Bytes: below it a link saves nothing worth the look.
_WORTH = 100_000


def share(cache: Path, bundle: BundleInfo) -> int:
    """Take the archives of images of a bundle that is about to enter the cache apart, and link to what others have.

    Returns the bytes saved. Sums tell what is the same; a file of another bundle that no longer has its sum is left
    alone. A suite stays whole: its archive goes into the nodes' runtime as it is.
    """
    before = _size(bundle.path)
    for name in (ALL_IMAGES, WORKER_IMAGES) if bundle.kind == "lab" else ():
        if (bundle.path / name).is_file():
            with suppress(tarfile.TarError):  # of another form, it stays whole
                pieces.split(bundle.path / name)
    others = [info for info in manifest.list_bundles(cache) if info.id != bundle.id]
    known = {sums: file for info in others for sums, file in _contents(info)}
    linked = 0
    for (sum_, size), own in _contents(bundle):
        twin = known.get((sum_, size))
        if size < _WORTH or twin is None or not _is_another(twin, own) or manifest.file_sha256(twin) != sum_:
            continue
        linked += size if _link(twin, own) else 0
    return before - _size(bundle.path) + linked


def _contents(bundle: BundleInfo) -> Iterator[tuple[tuple[str, int], Path]]:
    """The files of a bundle, those of the manifest and the pieces of others, by sum and size."""
    for file in bundle.files:
        if (place := bundle.path / file.path).is_file():
            yield (file.sha256, file.size), place
    folder = bundle.path / pieces.FOLDER
    for piece in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield (piece.name, piece.stat().st_size), piece


def _link(twin: Path, own: Path) -> bool:
    """Replace a file by a link to its twin; a filesystem without links keeps the copy."""
    fresh = own.with_name(f".{own.name}.link")
    with suppress(OSError):
        os.link(twin, fresh)
        fresh.chmod(own.stat().st_mode & 0o777)
        fresh.replace(own)
        return True
    fresh.unlink(missing_ok=True)
    return False


def _size(directory: Path) -> int:
    return sum(item.stat().st_size for item in directory.rglob("*") if item.is_file())


def _is_another(twin: Path, own: Path) -> bool:
    """Whether two files are there, and are not one already."""
    try:
        return not twin.samefile(own)
    except OSError:
        return False
