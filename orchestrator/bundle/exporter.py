"""`bundle export`: one file with a whole bundle, for hosts that reach nothing."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from pathlib import Path

from orchestrator.bundle import manifest, worker_images
from orchestrator.bundle.manifest import ALL_IMAGES, MANIFEST, SIGNATURE, WORKER_IMAGES, BundleInfo
from orchestrator.bundle.progress import Progress
from orchestrator.errors import HostError
from orchestrator.events import Emit

# Most of a bundle is compressed already; what is not, images, shrinks to a third at this level.
_LEVEL = 1


def export_bundle(bundle: BundleInfo, target: Path, emit: Emit, phase_name: str = "export") -> None:
    """Write a bundle as a compressed archive, which appears at `target` only when it is whole.

    The archive for workers is left out when an import can derive it. Raises HostError for a damaged bundle, for a
    target that exists, and when there is no room for it.
    """
    if target.exists():
        raise HostError(f"{target} exists and is not replaced", fix=f"rm {target}, or another name")
    progress = Progress(emit, phase_name, {"check": 6.0, "write": 30.0})
    with progress.step("check"):
        manifest.require_intact(bundle)
        left_out = _derivable(bundle)
    fresh = target.with_name(f".{target.name}.part")
    names = [MANIFEST, *([SIGNATURE] if (bundle.path / SIGNATURE).is_file() else [])]
    names += [file.path for file in bundle.files if file.path not in left_out]
    try:
        with progress.step("write") as detail:
            with (
                fresh.open("wb") as raw,
                gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                for name in names:
                    detail.append(name)
                    _add(tar, bundle, name)
            fresh.replace(target)
    except OSError as error:
        raise HostError(
            f"{target} cannot be written: {error.strerror or error}", fix=f"df -h {target.parent}"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, bundle: BundleInfo, name: str) -> None:
    """Add a file of the bundle, without the name and times of who made it."""
    with bundle.open(name) as stream:
        info = tarfile.TarInfo(f"{bundle.id}/{name}")
        info.size = stream.seek(0, io.SEEK_END)
        info.mode = 0o755 if name.startswith("bin/") else 0o644
        stream.seek(0)
        tar.addfile(info, stream)


def _derivable(bundle: BundleInfo) -> set[str]:
    """The archive of the workers, when its bytes follow from the whole one."""
    wanted = bundle.sha256_of(WORKER_IMAGES)
    if not wanted or not bundle.sha256_of(ALL_IMAGES):
        return set()
    with tempfile.TemporaryDirectory(prefix=".derive-", dir=bundle.path.parent) as place:
        derived = Path(place) / WORKER_IMAGES
        with bundle.open(ALL_IMAGES) as whole:
            worker_images.derive(whole, derived)
        return {WORKER_IMAGES} if manifest.file_sha256(derived) == wanted else set()
