"""The images that container nodes start from: built from the host's Debian mirror, cached, loaded into Docker."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shlex
import shutil
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import debian_mirror, host, paths, proc
from orchestrator.checks.host import install_remedy
from orchestrator.debian_mirror import MirrorConfig
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note, Step

if TYPE_CHECKING:
    from docker import APIClient

# What a node looks like to its roles: `debian`, or that with the recipe images/node-<flavour> laid over it.
Flavour = str
DEBIAN: Flavour = "debian"

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


def recipe_hash(*roots: Path) -> str:
    """Twelve hex digits that change whenever a file of the recipes changes (content, name or execute bit)."""
    digest = hashlib.sha256(f"{SUITE} 1\n".encode())
    for root in roots:
        for path in recipe_files(root):
            executable = "x" if os.access(path, os.X_OK) else "-"
            digest.update(f"{path.relative_to(root)} {executable} ".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def packages(*roots: Path) -> list[str]:
    """The package lists of the recipes."""
    texts = [(root / "packages.txt").read_text(encoding="utf-8") for root in roots]
    lines = (line.split("#")[0].strip() for text in texts for line in text.splitlines())
    return [line for line in lines if line]


def recipes(flavour: Flavour = DEBIAN) -> list[Path]:
    """Where the recipes of a flavour lie, in the order in which they are applied."""
    names = ("node", *(() if flavour == DEBIAN else (f"node-{flavour}",)))
    return [paths.data("images", name) for name in names]


def _repository(flavour: Flavour) -> str:
    return REPOSITORY if flavour == DEBIAN else f"{REPOSITORY}-{flavour}"


def tag(flavour: Flavour = DEBIAN) -> str:
    """The image's name in Docker; another recipe has another name."""
    return f"{_repository(flavour)}:{recipe_hash(*recipes(flavour))}"


def cached(flavour: Flavour = DEBIAN) -> Path:
    """Where the image's root file system lies, or will lie, in the cache; its sha256 stands beside it."""
    place = paths.cache_dir() / "node-images"
    return (place if flavour == DEBIAN else place / flavour) / f"{recipe_hash(*recipes(flavour))}.tar"


def is_present(api: APIClient, flavour: Flavour = DEBIAN) -> bool:
    """Whether Docker already has the image of this recipe."""
    return bool(api.images(name=tag(flavour)))


def problems(flavour: Flavour = DEBIAN, source: MirrorConfig | None = None) -> list[Problem]:
    """Why the image could not be built here, when the cache does not have it; `source` has its packages."""
    if cached(flavour).exists():
        return []
    found = []
    where = "node image"
    mirror = source or debian_mirror.find()
    if shutil.which("mmdebstrap") is None:
        text = "mmdebstrap is not installed; it makes the node image"
        found.append(Problem(text, where, install_remedy("mmdebstrap")))
    if os.geteuid() != 0:
        found.append(Problem("making the node image takes root, once", where, "sudo ./labctl provision"))
    if mirror is None:
        text = "this host's package sources name no Debian mirror to make the node image from"
        fix = f"export {debian_mirror.SETTING}=URL   (a Debian mirror that this host reaches)"
        found.append(Problem(text, where, fix))
    elif mirror.keyring and not mirror.keyring.exists():
        text = f"Debian's signing keys are not here ({mirror.keyring})"
        found.append(Problem(text, where, host.install_command(host.package_manager(), ["debian-archive-keyring"])))
    if (free := host.disk_free(paths.cache_dir())) < DISK_MB:
        text = f"{free} MB free, the node image takes {DISK_MB}"
        found.append(Problem(text, str(paths.cache_dir()), "free space, or set LABCTL_CACHE"))
    return found


def source_of(bundle_id: str | None, flavour: Flavour = DEBIAN) -> MirrorConfig | None:
    """The bundle's own repository, when it has all that an image is made of: nothing is downloaded then."""
    if bundle_id is None:
        return None
    return debian_mirror.of_bundle(paths.bundle_dir(bundle_id), packages(*recipes(flavour)))


def ensure(
    api: APIClient, emit: Emit, phase: str, flavour: Flavour = DEBIAN, source: MirrorConfig | None = None
) -> str:
    """Have the image in Docker, built from `source` if the cache lacks it or holds a damaged one; return its name."""
    name = tag(flavour)
    if is_present(api, flavour):
        return name
    with _one_builder():
        if not is_present(api, flavour):
            archive = cached(flavour)
            archive.parent.mkdir(mode=0o700, exist_ok=True)
            if not _is_intact(archive):
                if archive.exists():
                    emit(Note(phase=phase, text=f"{archive} is damaged: rebuilding the node image"))
                build(archive, emit, phase, flavour, source)
            emit(Step(phase=phase, name="load the node image", status="running", remaining=5.0))
            _load(api, archive, name)
            _forget_old(api, flavour)
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


def _is_intact(archive: Path) -> bool:
    """Whether the cached archive is the one that was built; a truncated or changed one is not used."""
    try:
        return _sha256(archive) == _sum_file(archive).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return False


def rootfs_tar(*roots: Path) -> bytes:
    """The recipes' rootfs/ as a tar of root's files, whatever umask and owner the checkout has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        trees = [root / "rootfs" for root in roots]
        for path, name in sorted((path, str(path.relative_to(tree))) for tree in trees for path in tree.rglob("*")):
            info = tarfile.TarInfo(name)
            info.mode = 0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644
            if path.is_dir():
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                content = path.read_bytes()
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def build(archive: Path, emit: Emit, phase: str, flavour: Flavour = DEBIAN, source: MirrorConfig | None = None) -> None:
    """Make the root file system with mmdebstrap. Raises HostError with its last line and log."""
    if found := problems(flavour, source):
        raise HostError("the node image cannot be built here", problems=found, fix=found[0].fix)
    mirror = source or debian_mirror.find()
    assert mirror is not None  # problems() looked
    roots = recipes(flavour)
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
        (work / "rootfs.tar").write_bytes(rootfs_tar(*roots))
        (work / "sources.list").write_text(mirror.sources(SUITE), encoding="utf-8")
        result = proc.stream(
            _argv(mirror, roots, work), progress, timeout=BUILD_SECONDS, log=log, check=False, env={"TMPDIR": str(work)}
        )
        if not result.ok:
            raise HostError(f"the node image could not be built: {_cause(result)}", log=log, fix=f"less {log}")
        _sum_file(archive).write_text(_sha256(work / "root.tar") + "\n", encoding="ascii")
        (work / "root.tar").replace(archive)
    except proc.ProcessFailed as problem:
        raise HostError(f"the node image could not be built: {problem}", log=log, fix=f"less {log}") from problem
    finally:
        shutil.rmtree(work, ignore_errors=True)
    emit(Step(phase=phase, name="build the node image", status="ok", detail=f"{archive.stat().st_size // 2**20} MB"))


def _argv(mirror: MirrorConfig, roots: Sequence[Path], work: Path) -> list[str]:
    """The command that makes the root file system of these recipes from what lies in `work`."""
    return proc.with_parent_death_signal(
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        "--skip=output/dev",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        # The cache is the user's alone.
        '--aptopt=APT::Sandbox::User "root"',
        *(f"--aptopt={line.rstrip(';')}" for line in mirror.options),
        f"--dpkgopt={roots[0] / 'rootfs/etc/dpkg/dpkg.cfg.d/labctl'}",
        f"--include={','.join(packages(*roots))}",
        f"--customize-hook=tar-in {shlex.quote(str(work / 'rootfs.tar'))} /",
        *(f'--customize-hook=sh {shlex.quote(str(root / "customize.sh"))} "$1"' for root in roots),
        mirror.flat_suite or SUITE,
        str(work / "root.tar"),
        str(work / "sources.list"),
    )


def _cause(result: proc.Result) -> str:
    """The first error line of apt or mmdebstrap: what follows it only repeats it."""
    errors = [line for line in result.stdout.splitlines() if line.startswith("E:")]
    return errors[0][2:].strip() if errors else result.tail


def _forget_old(api: APIClient, flavour: Flavour) -> None:
    """Drop archives beyond the newest few, and images in Docker that have no archive any more and no node."""
    directory, repository = cached(flavour).parent, _repository(flavour)
    archives = sorted(directory.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[KEPT:]:
        for path in (archive, _sum_file(archive), archive.with_suffix(".log")):
            path.unlink(missing_ok=True)
    kept = {f"{repository}:{archive.stem}" for archive in archives[:KEPT]}
    for image in api.images(name=repository, filters={"label": LABEL}):
        for old in set(image["RepoTags"] or ()) - kept:
            with contextlib.suppress(Exception):  # a node still uses it
                api.remove_image(old)


def _load(api: APIClient, archive: Path, name: str) -> None:
    repository, _, version = name.partition(":")
    changes = [f'ENTRYPOINT ["{ENTRYPOINT}"]', f"LABEL {LABEL}={version}", "ENV container=docker"]
    api.import_image_from_file(str(archive), repository=repository, tag=version, changes=changes)
