"""`bundle import`: takes a bundle from a directory or a tar archive into the cache, after proving it whole."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.bundle import manifest, pieces, sharing, signature, worker_images
from orchestrator.bundle.builder import locked
from orchestrator.bundle.manifest import ALL_IMAGES, WORKER_IMAGES, BrokenBundleError, BundleInfo
from orchestrator.bundle.progress import Progress
from orchestrator.errors import HostError
from orchestrator.events import Emit

_CHUNK = 1 << 20
# The processor of every lab's nodes, as Debian calls it (docs/adr/0021-macos-and-arm64.md).
_ARCHITECTURE = "amd64"
_FIX = "get the bundle again from where it was made (`labctl bundle verify` there), then labctl bundle import PATH"


def import_bundle(
    cache: Path,
    source: Path,
    emit: Emit,
    phase_name: str = "bundle",
    *,
    key: Path | None = None,
    needed: Sequence[str] = (),
) -> BundleInfo:
    """Verify the bundle in `source` (directory, .tar, .tar.gz, ...) and place it in the cache.

    Nothing reaches the cache unless every file is what the manifest says, the images that a lab needs are among them,
    it is for the processor of nodes, and, with a public `key`, the signature is of it; a bundle of that id that is
    there already is replaced. Raises BrokenBundleError or HostError with every problem.
    """
    progress = Progress(emit, phase_name, {"copy": 10.0, "verify": 5.0})
    if not source.exists():
        raise HostError(f"{source} does not exist", fix="labctl bundle import PATH")
    with locked(cache, emit, phase_name):
        store = manifest.store(cache)
        staged = store / ".import"
        shutil.rmtree(staged, ignore_errors=True)
        try:
            with progress.step("copy"):
                top = _copy(source, staged) if source.is_dir() else _unpack(source, staged)
            with progress.step("verify"):
                try:
                    info = manifest.load(top)
                    _derive_worker_images(info)
                    manifest.require_intact(info)
                    if key:
                        signature.require(info, key)
                    _require_usable(info, needed)
                except BrokenBundleError as error:
                    message = error.message.replace(str(top), str(source))
                    raise BrokenBundleError(message, fix=_FIX, problems=error.problems) from error
            sharing.share(cache, info)
            final = store / info.id
            shutil.rmtree(final, ignore_errors=True)
            top.rename(final)
        except OSError as error:
            raise HostError(f"importing {source} failed: {error}", fix=f"df -h {store}") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return manifest.load(final)


def _derive_worker_images(info: BundleInfo) -> None:
    """Make the archive of the workers, which an export leaves out."""
    target = info.path / WORKER_IMAGES
    if info.sha256_of(WORKER_IMAGES) and not target.exists() and info.image_archive.exists():
        try:
            with info.image_archive.open("rb") as whole:
                worker_images.derive(whole, target)
        except (tarfile.TarError, KeyError, ValueError) as error:
            raise BrokenBundleError(f"{ALL_IMAGES} of {info.id} cannot be read: {error}", fix=_FIX) from error


def require_processor(info: BundleInfo) -> None:
    """Raise BrokenBundleError for a bundle of another processor than that of a lab's machines."""
    if info.architecture != _ARCHITECTURE:
        what = f"{info.id} is for {info.architecture} machines; those of a lab are {_ARCHITECTURE}"
        raise BrokenBundleError(what, fix="take a bundle that was made on an x86_64 machine")


def _require_usable(info: BundleInfo, needed: Sequence[str]) -> None:
    """Raise BrokenBundleError for a bundle that is whole but of no use here."""
    require_processor(info)
    missing = [name for name in needed if info.kubernetes and info.kind == "lab" and name not in info.images]
    if missing:
        raise BrokenBundleError(
            f"{info.id} lacks the image {missing[0]}, which verify needs", fix="labctl bundle build, then bundle export"
        )


def _copy(source: Path, staged: Path) -> Path:
    """Copy what the manifest names, nothing else that may lie in the directory."""
    info = manifest.load(source)
    staged.mkdir()
    signed = [manifest.SIGNATURE] if (source / manifest.SIGNATURE).is_file() else []
    for name in (manifest.MANIFEST, *signed, *(file.path for file in info.files)):
        origin, target = source / name, staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if pieces.is_split(origin):
            with pieces.open_file(origin) as stream, target.open("wb") as whole:
                shutil.copyfileobj(stream, whole, _CHUNK)
            continue
        # A link would bring a file from outside of the bundle into the cache.
        if origin.is_symlink() or not origin.is_file() or not origin.resolve().is_relative_to(source.resolve()):
            raise BrokenBundleError(f"{source} lacks the file {name} of its manifest", fix=_FIX)
        shutil.copy2(origin, target)
    return staged


def _unpack(source: Path, staged: Path) -> Path:
    """Unpack an archive that has the manifest at its top or in its one directory; links and odd paths are refused."""
    staged.mkdir()
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name in ("", "."):
                    continue
                if not manifest.safe(name) or not (member.isfile() or member.isdir()):
                    raise BrokenBundleError(f"{source} has an entry that no bundle has: {member.name}", fix=_FIX)
                _place(tar, member, staged / name)
    except (tarfile.TarError, EOFError) as error:
        raise BrokenBundleError(f"{source} cannot be unpacked: {error}", fix=_FIX) from error
    if (staged / manifest.MANIFEST).exists():
        return staged
    inside = [item for item in staged.iterdir() if item.is_dir()]
    if len(inside) == 1 and (inside[0] / manifest.MANIFEST).exists():
        return inside[0]
    raise BrokenBundleError(f"{source} is not a bundle: it has no {manifest.MANIFEST}", fix=_FIX)


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one entry, with owner and mode of our choice rather than the archive's."""
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    stream = tar.extractfile(member)
    assert stream is not None  # a plain file has content
    with stream, target.open("wb") as sink:
        shutil.copyfileobj(stream, sink, 1 << 20)
    if target.parent.name == "bin":
        target.chmod(0o755)
