"""The image that every container node starts from: built from the host's Debian mirror, cached, loaded into Docker."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shlex
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import debian_mirror, host, paths, proc
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note, Step

if TYPE_CHECKING:
    from docker import APIClient

SUITE = "bookworm"
REPOSITORY = "labctl/node"
LABEL = "labctl.node-image"
ENTRYPOINT = "/usr/local/sbin/labctl-node-init"
BUILD_SECONDS = 900
TYPICAL_SECONDS = 45.0
DISK_MB = 1500
KEPT = 2


def recipe_files(root: Path) -> list[Path]:
    """The files of the recipe, in a fixed order."""
    return sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def recipe_hash(root: Path) -> str:
    """Twelve hex digits that change whenever a file of the recipe changes (content, name or execute bit)."""
    digest = hashlib.sha256(f"{SUITE} 1\n".encode())
    for path in recipe_files(root):
        executable = "x" if os.access(path, os.X_OK) else "-"
        digest.update(f"{path.relative_to(root)} {executable} ".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def packages(root: Path) -> list[str]:
    """The package list of the recipe."""
    lines = (line.split("#")[0].strip() for line in (root / "packages.txt").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def recipe() -> Path:
    """Where the recipe lies."""
    return paths.data("images", "node")


def tag() -> str:
    """The image's name in Docker; another recipe has another name."""
    return f"{REPOSITORY}:{recipe_hash(recipe())}"


def cached() -> Path:
    """Where the image's root file system lies, or will lie, in the cache; its sha256 stands beside it."""
    return paths.cache_dir() / "node-images" / f"{recipe_hash(recipe())}.tar"


def present(api: APIClient) -> bool:
    """Whether Docker already has the image of this recipe."""
    return bool(api.images(name=tag()))


def problems() -> list[Problem]:
    """Why the image could not be built here, when the cache does not have it."""
    if cached().exists():
        return []
    found = []
    manager = host.package_manager()
    if shutil.which("mmdebstrap") is None:
        fix = host.install_command(manager, ["mmdebstrap"])
        found.append(Problem("mmdebstrap is not installed; it makes the node image", "node image", fix))
    if os.geteuid() != 0:
        found.append(Problem("making the node image takes root, once", "node image", "sudo ./labctl provision"))
    mirror = debian_mirror.find()
    if mirror is None:
        found.append(
            Problem(
                "this host's package sources name no Debian mirror to make the node image from",
                "node image",
                f"export {debian_mirror.SETTING}=URL   (a Debian mirror that this host reaches)",
            )
        )
    elif mirror.keyring and not mirror.keyring.exists():
        fix = host.install_command(manager, ["debian-archive-keyring"])
        found.append(Problem(f"Debian's signing keys are not here ({mirror.keyring})", "node image", fix))
    free = host.disk_free(paths.cache_dir())
    if free < DISK_MB:
        where = str(paths.cache_dir())
        found.append(
            Problem(f"{free} MB free, the node image takes {DISK_MB}", where, "free space, or set LABCTL_CACHE")
        )
    return found


def ensure(api: APIClient, emit: Emit, phase: str) -> str:
    """Have the image in Docker, built if the cache lacks it or holds a damaged one; return its name."""
    name = tag()
    if present(api):
        return name
    with _one_builder():
        if not present(api):
            archive = cached()
            if not _intact(archive):
                if archive.exists():
                    emit(Note(phase=phase, text=f"{archive} is damaged: building the node image anew"))
                build(archive, emit, phase)
            emit(Step(phase=phase, name="load the node image", status="running", remaining=5.0))
            _load(api, archive, name)
            _forget_old(api)
            emit(Step(phase=phase, name="load the node image", status="ok"))
    return name


@contextmanager
def _one_builder() -> Iterator[None]:
    from filelock import FileLock

    directory = paths.cache_dir() / "node-images"
    directory.mkdir(mode=0o700, exist_ok=True)
    with FileLock(directory / "lock", timeout=BUILD_SECONDS, mode=0o600):
        yield


def _sum_file(archive: Path) -> Path:
    return archive.with_suffix(".tar.sha256")


def _sha256(archive: Path) -> str:
    with archive.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _intact(archive: Path) -> bool:
    """Whether the cached archive is the one that was built; a truncated or changed one is not used."""
    try:
        return _sha256(archive) == _sum_file(archive).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return False


def rootfs_tar(root: Path) -> bytes:
    """The recipe's rootfs/ as a tar of root's files, whatever umask and owner the checkout has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted((root / "rootfs").rglob("*")):
            info = tarfile.TarInfo(str(path.relative_to(root / "rootfs")))
            info.mode = 0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644
            if path.is_dir():
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                content = path.read_bytes()
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def build(archive: Path, emit: Emit, phase: str) -> None:
    """Make the root file system with mmdebstrap. Raises HostError with its last line and log."""
    if found := problems():
        raise HostError("the node image cannot be built here", problems=found, fix=found[0].fix)
    mirror = debian_mirror.find()
    assert mirror is not None  # problems() looked
    root = recipe()
    work = archive.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o755)
    log = archive.with_suffix(".log")
    log.unlink(missing_ok=True)
    started = time.monotonic()

    def progress(line: str) -> None:
        if line.startswith("I: "):
            remaining = max(1.0, TYPICAL_SECONDS - (time.monotonic() - started))
            detail = line[3:].strip()
            emit(Step(phase=phase, name="build the node image", status="running", detail=detail, remaining=remaining))

    emit(Step(phase=phase, name="build the node image", status="running", remaining=TYPICAL_SECONDS))
    try:
        (work / "rootfs.tar").write_bytes(rootfs_tar(root))
        (work / "sources.list").write_text(mirror.sources(SUITE), encoding="utf-8")
        argv = [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            "--skip=output/dev",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *(f"--aptopt={line.rstrip(';')}" for line in mirror.options),
            f"--dpkgopt={root / 'rootfs/etc/dpkg/dpkg.cfg.d/labctl'}",
            f"--include={','.join(packages(root))}",
            f"--customize-hook=tar-in {shlex.quote(str(work / 'rootfs.tar'))} /",
            f'--customize-hook=sh {shlex.quote(str(root / "customize.sh"))} "$1"',
            SUITE,
            str(work / "root.tar"),
            str(work / "sources.list"),
        ]
        result = proc.stream(argv, progress, timeout=BUILD_SECONDS, log=log, check=False, env={"TMPDIR": str(work)})
        if not result.ok:
            raise HostError(f"the node image could not be built: {_cause(result)}", log=log, fix=f"less {log}")
        _sum_file(archive).write_text(_sha256(work / "root.tar") + "\n", encoding="ascii")
        (work / "root.tar").replace(archive)
    except proc.ProcessFailed as problem:
        raise HostError(f"the node image could not be built: {problem}", log=log, fix=f"less {log}") from problem
    finally:
        shutil.rmtree(work, ignore_errors=True)
    emit(Step(phase=phase, name="build the node image", status="ok", detail=f"{archive.stat().st_size // 2**20} MB"))


def _cause(result: proc.Result) -> str:
    """The first error line of apt or mmdebstrap: what follows it only repeats it."""
    errors = [line for line in result.stdout.splitlines() if line.startswith("E:")]
    return errors[0][2:].strip() if errors else result.tail


def _forget_old(api: APIClient) -> None:
    """Drop archives beyond the newest few, and images in Docker that have no archive any more and no node."""
    directory = cached().parent
    archives = sorted(directory.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[KEPT:]:
        for path in (archive, _sum_file(archive), archive.with_suffix(".log")):
            path.unlink(missing_ok=True)
    kept = {f"{REPOSITORY}:{archive.stem}" for archive in archives[:KEPT]}
    for image in api.images(name=REPOSITORY, filters={"label": LABEL}):
        for old in set(image["RepoTags"] or ()) - kept:
            with contextlib.suppress(Exception):  # a node still uses it
                api.remove_image(old)


def _load(api: APIClient, archive: Path, name: str) -> None:
    repository, _, version = name.partition(":")
    changes = [f'ENTRYPOINT ["{ENTRYPOINT}"]', f"LABEL {LABEL}={version}", "ENV container=docker"]
    api.import_image_from_file(str(archive), repository=repository, tag=version, changes=changes)
