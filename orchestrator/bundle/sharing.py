"""Files that several bundles of the cache have in common lie on the disk once."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from orchestrator.bundle import manifest
from orchestrator.bundle.manifest import BundleInfo

# Bytes: below it a link saves nothing worth the look.
_WORTH = 100_000


def share(cache: Path, bundle: BundleInfo) -> int:
    """Replace files of a bundle that just arrived by links to the same files of others; returns the bytes saved.

    Sums tell what is the same; a file of another bundle that no longer has its sum is left alone.
    """
    others = [info for info in manifest.list_bundles(cache) if info.id != bundle.id]
    known = {(file.sha256, file.size): info.path / file.path for info in others for file in info.files}
    saved = 0
    for file in bundle.files:
        twin, own = known.get((file.sha256, file.size)), bundle.path / file.path
        if file.size < _WORTH or twin is None or not _is_another(twin, own):
            continue
        if manifest.file_sha256(twin) != file.sha256:
            continue
        fresh = own.with_name(f".{own.name}.link")
        # Without links, on such a filesystem, the copy stays.
        with suppress(OSError):
            os.link(twin, fresh)
            fresh.chmod(own.stat().st_mode & 0o777)
            fresh.replace(own)
            saved += file.size
        fresh.unlink(missing_ok=True)
    return saved


def _is_another(twin: Path, own: Path) -> bool:
    """Whether two files are there, and are not one already."""
    try:
        return not twin.samefile(own)
    except OSError:
        return False
