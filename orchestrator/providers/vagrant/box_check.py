"""Whether a VirtualBox box is whole: its OVF, the disk that this names, and the processors it is for."""

from __future__ import annotations

import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from orchestrator.errors import HostError

_TEXT_LIMIT = 2**20
_OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
_VBOX = "{http://www.virtualbox.org/ovf/machine}"
_VMDK = b"KDMV"
_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class _Member:
    """A file of a box: its size and its first bytes, all of them when it is a text."""

    size: int
    head: bytes


def check(file: Path, machine: str = "") -> None:
    """Raises HostError with the first thing that is wrong with a VirtualBox box; `machine` as platform.machine()."""
    try:
        members = _members(file)
        problem = _problem(members, _ARCHITECTURES.get(machine or platform.machine(), ""))
    except (tarfile.TarError, EOFError, OSError, ValueError, ElementTree.ParseError) as error:
        problem = f"cannot be read to its end: {error}"
    if problem:
        raise HostError(f"{file} {problem}", fix="fetch or build the box again, and give the sum of that file")


def _members(file: Path) -> Mapping[str, _Member]:
    found = {}
    with tarfile.open(file) as archive:
        for member in archive:
            if stream := archive.extractfile(member):
                name = member.name.removeprefix("./")
                is_text = name in ("metadata.json", "box.ovf")
                found[name] = _Member(member.size, stream.read(_TEXT_LIMIT if is_text else 512))
    return found


def _problem(members: Mapping[str, _Member], architecture: str) -> str:
    """What is wrong with a box, empty when nothing is."""
    if "box.ovf" not in members:
        return "has no box.ovf, from which VirtualBox makes its machine"
    text = members["box.ovf"].head
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return "has a box.ovf with definitions of its own, which none of VirtualBox' has"
    machine = ElementTree.fromstring(text)
    if (made_for := _architecture(members, machine)) and architecture and made_for != architecture:
        return f"is for {made_for} processors; this host has {architecture}"
    files = {one.get(f"{_OVF}id"): one for one in machine.iter(f"{_OVF}File")}
    disks = list(machine.iter(f"{_OVF}Disk"))
    if not disks:
        return "has a box.ovf without a disk"
    for disk in disks:
        named = files.get(disk.get(f"{_OVF}fileRef"))
        if problem := _disk_problem(members, disk, named):
            return problem
    return ""


def _architecture(members: Mapping[str, _Member], machine: ElementTree.Element) -> str:
    """The processors a box is for, empty when it does not say."""
    if "metadata.json" in members and (said := json.loads(members["metadata.json"].head).get("architecture")):
        return str(said)
    systems = [system.text or "" for system in machine.iter(f"{_VBOX}OSType")]
    return "arm64" if any("arm64" in system.lower() for system in systems) else ("amd64" if systems else "")


def _disk_problem(members: Mapping[str, _Member], disk: ElementTree.Element, named: ElementTree.Element | None) -> str:
    """What is wrong with a disk that an OVF lists, whose file the OVF names or not."""
    name = named.get(f"{_OVF}href", "") if named is not None else ""
    if name not in members:
        return f"has a box.ovf whose disk {name or disk.get(f'{_OVF}fileRef')} is not in the box"
    found, size = members[name], (named.get(f"{_OVF}size") if named is not None else None)
    if size is not None and int(size) != found.size:
        return f"has the disk {name} with {found.size} bytes where box.ovf says {size}: one of them was cut or edited"
    if found.head[:4] != _VMDK:
        return f"has the disk {name}, which is no VMDK"
    capacity, sectors = disk.get(f"{_OVF}capacity", ""), int.from_bytes(found.head[12:20], "little")
    if capacity.isdigit() and "capacityAllocationUnits" not in "".join(disk.attrib) and int(capacity) != sectors * 512:
        return f"has the disk {name} of {sectors * 512} bytes where box.ovf says {capacity}: one of them was edited"
    return ""
