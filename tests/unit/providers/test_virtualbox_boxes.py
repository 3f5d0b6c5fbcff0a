"""A VirtualBox box is taken in whole and for this host's processors, or refused with the one thing that is wrong."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from orchestrator.errors import HostError
from orchestrator.providers.vagrant import box_check, boxes

DISK = b"KDMV" + (3).to_bytes(4, "little") + bytes(4) + (2048).to_bytes(8, "little") + bytes(1000)
OVF = f"""<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:id="file1" ovf:href="disk.vmdk" ovf:size="{len(DISK)}"/></References>
  <DiskSection><Disk ovf:capacity="1048576" ovf:diskId="d1" ovf:fileRef="file1"/></DiskSection>
  <VirtualSystem ovf:id="m"><vbox:OSType ovf:required="false">Debian_64</vbox:OSType></VirtualSystem>
</Envelope>
"""
METADATA = '{"provider": "virtualbox"}'


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    def pack(ovf: str | None = OVF, disk: bytes = DISK, metadata: str = METADATA) -> Path:
        path = tmp_path / "some.box"
        with tarfile.open(path, "w") as archive:
            files = {"metadata.json": metadata.encode(), "box.ovf": ovf and ovf.encode(), "disk.vmdk": disk}
            for name, content in files.items():
                if content is not None:
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, BytesIO(content))
        return path

    return pack


def test_a_whole_box_for_this_processor_is_in_order(pack: Callable[..., Path]) -> None:
    box_check.check(pack(), "x86_64")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ovf": None}, "has no box.ovf"),
        ({"disk": DISK[:-300]}, "with 720 bytes where box.ovf says 1020: one of them was cut"),
        ({"disk": b"QFI\xfb" + DISK[4:]}, "which is no VMDK"),
        ({"ovf": OVF.replace("1048576", "2097152")}, "of 1048576 bytes where box.ovf says 2097152"),
        ({"ovf": OVF.replace("disk.vmdk", "other.vmdk")}, "whose disk other.vmdk is not in the box"),
        ({"ovf": OVF.replace("file1", "file2", 1)}, "whose disk file1 is not in the box"),
        ({"ovf": OVF.replace("</Envelope>", "")}, "cannot be read to its end"),
        ({"ovf": "<!DOCTYPE x>" + OVF}, "definitions of its own"),
        ({"metadata": '{"provider": "virtualbox", "architecture": "arm64"}'}, "is for arm64 processors"),
        ({"ovf": OVF.replace("Debian_64", "Debian12_arm64")}, "is for arm64 processors; this host has amd64"),
    ],
)
def test_what_is_wrong_with_a_box_is_told(pack: Callable[..., Path], changed: dict[str, object], words: str) -> None:
    with pytest.raises(HostError, match=words) as refused:
        box_check.check(pack(**changed), "x86_64")
    assert "again" in refused.value.fix


def test_a_box_that_ends_in_the_middle_of_its_disk_is_refused(pack: Callable[..., Path]) -> None:
    file = pack()
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(HostError, match="cannot be read to its end"):
        box_check.check(file, "x86_64")


def test_import_refuses_a_broken_virtualbox_box_and_keeps_nothing(
    pack: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    file = pack(disk=DISK[:-1])
    with pytest.raises(HostError, match="one of them was cut or edited"):
        boxes.import_box(file, "debian-12", boxes.sum_of(file))
    assert boxes.stored() == []
