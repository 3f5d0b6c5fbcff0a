"""Packs a disk as a Vagrant box for libvirt or VirtualBox, the same bytes from the same disk."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import HostError
from orchestrator.providers.vagrant.box_disk import DISK_SIZE, EPOCH, ROOT_ID, SECTOR, run_tool
from orchestrator.providers.vagrant.boxes import BoxProvider

VMDK = "box-disk001.vmdk"
# In the range of VirtualBox' own cards; every clone gets a card of its own.
MAC = "0800276C6162"
MEMORY_MB = 1024
MACHINE_ID = "6c616263-746c-4000-8000-000000000003"
# A VMDK's text begins after its header; the id of its content there changes with every conversion.
_DESCRIPTOR = slice(SECTOR, 21 * SECTOR)
_CONTENT_ID = re.compile(rb"(?m)^CID=[0-9a-f]{8}$")


def pack(provider: BoxProvider, work: Path, log: Path) -> Path:
    """The box of the disk in a build's directory."""
    (_pack_libvirt if provider == "libvirt" else _pack_virtualbox)(work, log)
    return work / "box.box"


def _pack_libvirt(work: Path, log: Path) -> None:
    run_tool(["qemu-img", "convert", "-c", "-O", "qcow2", str(work / "disk.raw"), str(work / "box.img")], log)
    _write_metadata(work, {"provider": "libvirt", "format": "qcow2", "virtual_size": -(-DISK_SIZE // 2**30)})
    _write_tar(work, ("metadata.json", "box.img"))


def _pack_virtualbox(work: Path, log: Path) -> None:
    disk = work / VMDK
    run_tool(
        ["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", str(work / "disk.raw"), str(disk)], log
    )
    _set_content_id(disk)
    _write_metadata(work, {"provider": "virtualbox"})
    (work / "box.ovf").write_text(ovf(disk.stat().st_size), encoding="utf-8")
    mac = f'Vagrant.configure("2") do |config|\n  config.vm.base_mac = "{MAC}"\nend\n'
    (work / "Vagrantfile").write_text(mac, encoding="utf-8")
    _write_tar(work, ("metadata.json", "Vagrantfile", "box.ovf", VMDK))


def ovf(disk_file_size: int) -> str:
    """The description of the machine, as VirtualBox exports one."""
    from jinja2 import Environment, StrictUndefined

    text = paths.data("images", "box", "box.ovf.j2").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)
    return template.render(
        name="labctl-debian-12",
        disk_file=VMDK,
        disk_file_size=disk_file_size,
        disk_size=DISK_SIZE,
        disk_uuid=ROOT_ID,
        machine_uuid=MACHINE_ID,
        made_at="2025-01-01T00:00:00Z",
        memory=MEMORY_MB,
        mac=MAC,
    )


def _set_content_id(disk: Path) -> None:
    """Replace the random id that qemu-img gave the content. Raises HostError where the VMDK has no such line."""
    with disk.open("r+b") as stream:
        head = stream.read(_DESCRIPTOR.stop)
        replaced, count = _CONTENT_ID.subn(f"CID={EPOCH:08x}".encode(), head[_DESCRIPTOR])
        if count != 1:
            raise HostError("qemu-img wrote a VMDK without a content id", fix="report it with `qemu-img --version`")
        stream.seek(_DESCRIPTOR.start)
        stream.write(replaced)


def _write_metadata(work: Path, metadata: dict[str, object]) -> None:
    (work / "metadata.json").write_text(json.dumps(metadata) + "\n", encoding="utf-8")


def _write_tar(work: Path, names: Sequence[str]) -> None:
    """A tar of files (the disk is compressed already), without anything of this host or hour."""
    with tarfile.open(work / "box.box", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = (work / name).stat().st_size, EPOCH, 0o644
            with (work / name).open("rb") as stream:
                archive.addfile(member, stream)
