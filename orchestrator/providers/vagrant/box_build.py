"""Builds the Debian 12 box for libvirt or VirtualBox from the host's Debian mirror: a root, a disk, its wrapping."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator import debian_mirror, host, operating_system, paths, proc
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note, Step
from orchestrator.model import Plan
from orchestrator.providers.vagrant import boxes
from orchestrator.providers.vagrant.box_disk import EPOCH, ROOT_MB, SWAP_MB, clamp_times, make_disk, tool_path
from orchestrator.providers.vagrant.box_pack import pack
from orchestrator.providers.vagrant.boxes import BoxProvider
from orchestrator.providers.without_systemd import host_state

SUITE = "bookworm"
GUEST = "debian-12"
BUILD_SECONDS = 1800
TYPICAL_SECONDS = 150.0
DISK_MB = 6000

# Every box carries this key until Vagrant replaces it at first contact (Vagrant's keys/vagrant.pub).
INSECURE_KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v"
    "1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4"
    "O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk"
    "1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure pu"
    "blic key"
)
# Drivers of hardware that no hypervisor shows to a machine: more than half of the kernel's modules.
ABSENT_DRIVERS = (
    "sound",
    *(
        f"drivers/{name}"
        for name in (
            *("bluetooth", "gpu", "iio", "infiniband", "isdn", "media", "mtd", "nfc", "scsi/qla2xxx", "scsi/lpfc"),
            *("staging", "thunderbolt", "net/wireless", "net/can", "net/usb", "usb/gadget", "usb/serial"),
            *(f"net/ethernet/{vendor}" for vendor in ("broadcom", "chelsio", "mellanox", "netronome", "qlogic")),
        )
    ),
)
# The cloud kernel has no driver for VirtualBox' AHCI controller and network card; an emulated processor boots it in
# half of the time that the other one takes.
KERNELS: Mapping[BoxProvider, str] = {"libvirt": "linux-image-cloud-amd64", "virtualbox": "linux-image-amd64"}
# Program -> Debian package.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "mke2fs": "e2fsprogs",
    "mkswap": "util-linux",
}


def recipe() -> Path:
    """Where the recipe lies."""
    return paths.data("images", "box")


def recipe_id() -> str:
    """Twelve hex digits that change whenever the recipe changes."""
    digest = hashlib.sha256(f"{SUITE} {SWAP_MB} {ROOT_MB} {KERNELS} 2\n".encode())
    for path in sorted(recipe().iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


_SOURCE = "built from recipe "


def source() -> str:
    """What the box's record says about where it came from."""
    return _SOURCE + recipe_id()


def present(provider: BoxProvider) -> boxes.StoredBox | None:
    """The box of this recipe, when the cache has it undamaged."""
    box = boxes.find(GUEST, provider)
    return box if box is not None and box.source == source() and not boxes.damaged(box) else None


def due(guest: str, provider: str) -> bool:
    """Whether a new machine has to wait for its box: none is here, or one of an older recipe that can be rebuilt."""
    if not boxes.buildable(guest, provider):
        return False
    box = boxes.find(guest, provider)
    if box is None:
        return True
    return box.source.startswith(_SOURCE) and box.source != source() and not problems()


def missing_tools() -> list[str]:
    """Packages of programs that building takes and that are not here."""
    return sorted({package for program, package in TOOLS.items() if shutil.which(program, path=tool_path()) is None})


def tools_for(guest: str, provider: str) -> list[str]:
    """Packages that this host lacks to build the box of this guest, none where one is here or none can be built."""
    return missing_tools() if boxes.buildable(guest, provider) and boxes.find(guest, provider) is None else []


def ensure(plan: Plan, emit: Emit, phase: str) -> None:
    """Build the box of new machines where lab.yml names none, nobody has one and labctl can."""
    if plan.box or boxes.choose(plan).name in boxes.names_in_vagrant(plan):
        return
    if due(plan.guest, plan.provider):
        build(boxes.provider_named(plan.provider), emit, phase)


def problems() -> list[Problem]:
    """Why the box could not be built here, all at once."""
    system = operating_system.current()
    if not (system.is_linux and system.has_amd64):
        what = f"boxes are built on Linux with an x86_64 processor, this is {system.title} on {system.machine}"
        return [Problem(what, "box", "labctl box build there, then here: labctl box import FILE")]
    found = []
    manager = host.package_manager()
    if missing := missing_tools():
        found.append(Problem(f"{', '.join(missing)} not installed", "box", host.install_command(manager, missing)))
    if os.geteuid() != 0:
        fix = f"sudo LABCTL_CACHE={shlex.quote(str(paths.cache_dir()))} ./labctl box build"
        found.append(Problem("building a box takes root (it makes a root directory)", "box", fix))
    if debian_mirror.find() is None:
        fix = f"export {debian_mirror.SETTING}=URL   (a Debian mirror that this host reaches)"
        found.append(Problem("this host's package sources name no Debian mirror", "box", fix))
    free = host.disk_free(paths.cache_dir())
    if free < DISK_MB:
        place = str(paths.cache_dir())
        found.append(Problem(f"{free} MB free, building takes {DISK_MB}", place, "free space, or set LABCTL_CACHE"))
    return found


def build(provider: BoxProvider, emit: Emit, phase: str) -> boxes.StoredBox:
    """The box of this recipe, built if the cache lacks it. Raises HostError with the cause and the log."""
    if box := present(provider):
        return box
    if found := problems():
        raise HostError("the box cannot be built here", problems=found, fix=found[0].fix)
    boxes.directory().mkdir(mode=0o700, exist_ok=True)
    with _alone(emit, phase):
        # Somebody else may have built it meanwhile.
        return present(provider) or _build(provider, emit, phase)


@contextlib.contextmanager
def _alone(emit: Emit, phase: str) -> Iterator[None]:
    """Wait until no other labctl builds a box. Raises HostError after the time that a build may take."""
    from filelock import FileLock, Timeout

    lock = FileLock(boxes.directory() / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        emit(Note(phase=phase, text="another labctl is building the box, waiting for it"))
        try:
            lock.acquire(timeout=BUILD_SECONDS)
        except Timeout:
            raise HostError(
                "another labctl is building a box and does not end", fix="end it, then run this again"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _clear(work: Path) -> None:
    """Remove the directory of a build, also of one that was killed with file systems mounted in it."""
    host_state.unmount_below((work,))
    shutil.rmtree(work, ignore_errors=True)


def _build(provider: BoxProvider, emit: Emit, phase: str) -> boxes.StoredBox:
    work = boxes.directory() / ".build"
    _clear(work)
    log = boxes.directory() / "build.log"
    log.unlink(missing_ok=True)
    started, since = time.monotonic(), time.time()

    def say(what: str) -> None:
        remaining = max(1.0, TYPICAL_SECONDS - (time.monotonic() - started))
        emit(Step(phase=phase, name="build the box", status="running", detail=what, remaining=remaining))

    def line(text: str) -> None:
        if text.startswith("I: "):
            say(text[3:].strip())

    try:
        work.mkdir(mode=0o755)
        _root(provider, work, log, line)
        say("write the disk")
        clamp_times(work / "root", since)
        make_disk(work, log)
        say("compress the disk")
        file = pack(provider, work, log)
        box = boxes.keep(file, GUEST, provider, boxes.sum_of(file), source())
    except OSError as problem:
        raise HostError(f"the box could not be built: {problem}", log=log, fix=f"less {log}") from problem
    finally:
        _clear(work)
    emit(Step(phase=phase, name="build the box", status="ok", detail=f"{box.size // 2**20} MB"))
    emit(Note(phase=phase, text=f"{box.name}: {box.path}"))
    return box


def packages(provider: BoxProvider) -> list[str]:
    """The packages of the box for a provider."""
    lines = (
        line.split("#")[0].strip() for line in (recipe() / "packages.txt").read_text(encoding="utf-8").splitlines()
    )
    return [*(line for line in lines if line), KERNELS[provider]]


def _root(provider: BoxProvider, work: Path, log: Path, progress: object) -> None:
    mirror = debian_mirror.find()
    assert mirror is not None  # problems() looked
    (work / "sources.list").write_text(mirror.sources(SUITE), encoding="utf-8")
    script = shlex.quote(str(recipe() / "customize.sh"))
    argv = proc.with_parent_death_signal(
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *(f"--aptopt={line.rstrip(';')}" for line in mirror.options),
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        *(f"--dpkgopt=path-exclude=/lib/modules/*/kernel/{drivers}/*" for drivers in ABSENT_DRIVERS),
        f"--include={','.join(packages(provider))}",
        f'--customize-hook=sh {script} "$1" {shlex.quote(INSECURE_KEY)}',
        SUITE,
        str(work / "root"),
        str(work / "sources.list"),
    )
    env = {"TMPDIR": str(work), "PATH": tool_path(), "SOURCE_DATE_EPOCH": str(EPOCH)}
    assert callable(progress)
    try:
        result = proc.stream(argv, progress, timeout=BUILD_SECONDS, log=log, check=False, env=env)
    except proc.ProcessFailed as problem:
        raise HostError(f"the box's root could not be made: {problem}", log=log, fix=f"less {log}") from problem
    if not result.ok:
        errors = [line[2:].strip() for line in result.stdout.splitlines() if line.startswith("E:")]
        cause = errors[0] if errors else result.tail
        raise HostError(f"the box's root could not be made: {cause}", log=log, fix=f"less {log}")
