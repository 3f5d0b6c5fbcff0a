"""Vagrant boxes without a public registry: kept in the cache with their sha256, imported or built, found for a plan."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from orchestrator import catalog, host, paths, proc
from orchestrator.box import Box
from orchestrator.errors import HostError, Problem, SpecError
from orchestrator.model import Plan
from orchestrator.providers.vagrant import box_check

BoxProvider = Literal["virtualbox", "libvirt"]
PROVIDERS: tuple[BoxProvider, ...] = ("virtualbox", "libvirt")
_SUM = re.compile(r"[0-9a-f]{64}\Z")
_METADATA_LIMIT = 65536


@dataclass(frozen=True)
class StoredBox:
    """A box file of the cache; `source` says where it came from, `size` is in bytes."""

    guest: str
    provider: BoxProvider
    sha256: str
    path: Path
    source: str
    size: int

    @property
    def name(self) -> str:
        """The name for Vagrant: it changes with the content, so that an older copy is never taken for this one."""
        return f"labctl/{self.guest}-{self.sha256[:8]}"

    def for_vagrant(self) -> Box:
        return Box(self.name, self.path.as_uri(), self.sha256)


def provider_named(name: str) -> BoxProvider:
    """The provider of this name that has boxes. Raises StopIteration for another."""
    return next(known for known in PROVIDERS if known == name)


def directory() -> Path:
    """Where boxes are kept."""
    return paths.cache_dir() / "boxes"


def stored() -> list[StoredBox]:
    """Every box of the cache whose file exists."""
    found = []
    for note in sorted(directory().glob("*/box.json")):
        try:
            body = json.loads(note.read_text(encoding="utf-8"))
            box = StoredBox(**{**body, "path": note.with_name("box.box")})
        except (ValueError, TypeError):
            continue
        if box.path.exists():
            found.append(box)
    return found


def find(guest: str, provider: str) -> StoredBox | None:
    """The box for this guest and provider."""
    return next((box for box in stored() if (box.guest, box.provider) == (guest, provider)), None)


def choose(plan: Plan) -> Box:
    """The box of a plan: lab.yml's, else the one in the cache, else the catalog's with whatever URL and sum it has."""
    if plan.box:
        return plan.box
    if box := find(plan.guest, plan.provider):
        return box.for_vagrant()
    guest = catalog.load().guest(plan.guest)
    if guest is None:
        return Box(plan.guest)
    return Box(guest.box, guest.url or "", guest.sha256 or "")


def obstacle(plan: Plan, added: tuple[str, ...] = ()) -> Problem | None:
    """Why Vagrant would have no box for this plan; `added` are the names of boxes Vagrant has already."""
    box = choose(plan)
    if box.sha256 or box.name in added:
        return None
    if box.version:
        if not host.offline():
            return None
        what = f"LABCTL_OFFLINE is set, and Vagrant has no box {box.name}"
        return Problem(what, "box", f"vagrant box add {box.name} --box-version {box.version}, where a network is")
    build = f", or: {build_command(plan.provider)}" if buildable(plan.guest, plan.provider) else ""
    return Problem(
        f"there is no box for {plan.guest} with {plan.provider}: the catalog knows {box.name} by name only, "
        "and Vagrant's public registry stops downloads on 2026-12-31",
        "guest",
        f"labctl box import FILE --guest {plan.guest} --sha256 SUM{build}",
    )


def names_in_vagrant(plan: Plan) -> tuple[str, ...]:
    """Names of boxes that Vagrant has for this provider; read only when it matters."""
    if choose(plan).sha256:
        return ()
    listed = proc.run(["vagrant", "box", "list"], check=False, timeout=120).stdout
    rows = (line.split() for line in listed.splitlines() if f"({plan.provider}," in line)
    return tuple(row[0] for row in rows)


def buildable(guest: str, provider: str) -> bool:
    """Whether `labctl box build` makes the box of this guest and provider."""
    return guest == "debian-12" and provider in PROVIDERS


def build_command(provider: str) -> str:
    """The command that makes the box of a provider."""
    return f"labctl box build --provider {provider}"


def expected_sum(guest: str, sha256: str | None) -> str | None:
    """The sum that a box of this guest has to have: the one given, or the catalog's. Raises SpecError."""
    known = catalog.load().guest(guest)
    if known is None:
        names = ", ".join(item.name for item in catalog.load().guests)
        raise SpecError(f"{guest!r} is not in the catalog", fix=f"--guest with one of {names}")
    expected = sha256 or known.sha256
    if expected is not None and not _SUM.match(expected):
        raise SpecError(
            f"{expected[:80]!r} is not a sha256 sum (64 lower-case hexadecimal digits)", fix="sha256sum FILE"
        )
    return expected


def import_box(file: Path, guest: str, sha256: str | None, source: str = "") -> StoredBox:
    """Take a box file into the cache under the guest's name; `source` is where it comes from, if not from the file.

    The sum is the one given, or the catalog's. Raises SpecError when neither is there or the guest is
    unknown, HostError when the file has another sum, is no box, or the disk is full.
    """
    expected = expected_sum(guest, sha256)
    if expected is None:
        raise SpecError(
            f"nobody has confirmed a sha256 of a box of {guest}: an unknown box is not taken in",
            fix=f"compare `sha256sum {file}` with what the publisher of the box says, then give it with --sha256",
        )
    found = sum_of(file)
    if found != expected:
        raise HostError(f"{file} has the sha256 {found}, not {expected}", fix="fetch the box again from its publisher")
    provider = provider_of(file)
    if provider == "virtualbox":
        box_check.check(file)
    return keep(file, guest, provider, found, source or str(file.resolve()))


def keep(file: Path, guest: str, provider: BoxProvider, sha256: str, source: str) -> StoredBox:
    """Put a checked box file into the cache; a box of the same guest and provider is replaced in one step."""
    place = directory() / f"{guest}-{provider}"
    box = StoredBox(guest, provider, sha256, place / "box.box", source, file.stat().st_size)
    fresh = directory() / f".{guest}-{provider}.{os.getpid()}"
    try:
        fresh.mkdir(parents=True, mode=0o700)
        try:
            os.link(file, fresh / "box.box")
        except OSError:
            shutil.copyfile(file, fresh / "box.box")
        body = {**asdict(box), "path": ""}
        (fresh / "box.json").write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)
        _hand_over(place)
    except OSError as problem:
        raise HostError(
            f"{file} cannot be kept in {directory()}: {problem.strerror}",
            fix="free space there, or set LABCTL_CACHE=DIR",
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return box


def _hand_over(place: Path) -> None:
    """Give what root put into a user's cache to that user, who otherwise could not read it."""
    owner = paths.cache_dir().stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (directory(), place, *place.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)


def sum_of(file: Path) -> str:
    """The sha256 of a file. Raises HostError when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as problem:
        raise HostError(f"{file} cannot be read: {problem.strerror}", fix="check the path") from None


def provider_of(file: Path) -> BoxProvider:
    """The provider a box was made for, from its metadata.json; a box with an OVF and no metadata is VirtualBox's."""
    names: list[str] = []
    provider = ""
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                names.append(name)
                if (
                    name == "metadata.json"
                    and member.size < _METADATA_LIMIT
                    and (stream := archive.extractfile(member))
                ):
                    provider = str(json.load(stream).get("provider", ""))
                    break
    except (tarfile.TarError, ValueError, OSError, AttributeError) as problem:
        raise HostError(f"{file} is not a Vagrant box: {problem}", fix="take the .box file itself") from None
    if not provider and "box.ovf" in names:
        provider = "virtualbox"
    known = next((name for name in PROVIDERS if name == provider), None)
    if known is None:
        says = f"is for the provider {provider}" if provider else "has no metadata.json"
        raise HostError(f"{file} {says}; labctl drives {' and '.join(PROVIDERS)}", fix="take the box of one of these")
    return known


def damaged(box: StoredBox) -> bool:
    """Whether a box of the cache is no longer what it was."""
    return sum_of(box.path) != box.sha256
