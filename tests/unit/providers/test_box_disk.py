"""The same root makes the same disk and the same box, whenever and wherever it is built."""

from __future__ import annotations

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from orchestrator.providers.vagrant import box_check, box_disk, box_pack


def root(place: Path, when: float) -> Path:
    """A root directory, a part of which was written at `when`."""
    (place / "etc").mkdir(parents=True)
    for name, modified in (("packaged", 1_600_000_000.0), ("written", when)):
        (place / "etc" / name).write_text(name, encoding="utf-8")
        os.utime(place / "etc" / name, (when, modified))
    return place


def image(place: Path, when: float) -> bytes:
    """The ext4 file system of such a root."""
    box_disk.clamp_times(root(place / "root", when), 1_700_000_000)
    file = place / "disk"
    ids = ("-U", box_disk.ROOT_ID, "-E", f"hash_seed={box_disk.ROOT_ID}")
    argv = ["mke2fs", "-q", "-t", "ext4", "-O", "^64bit,^metadata_csum", *ids, "-d", place / "root", file, "8M"]
    env = {**os.environ, "PATH": box_disk.tool_path(), "E2FSPROGS_FAKE_TIME": str(box_disk.EPOCH)}
    subprocess.run(argv, check=True, env=env)
    box_disk.replace_times(file, 0)
    return file.read_bytes()


def test_the_file_system_is_the_same_whenever_its_root_was_made(tmp_path: Path) -> None:
    assert image(tmp_path / "one", 1_750_000_000) == image(tmp_path / "two", 1_760_000_000)
    checked = subprocess.run(["/sbin/e2fsck", "-fn", tmp_path / "one" / "disk"], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_files_of_packages_keep_their_times(tmp_path: Path) -> None:
    made = root(tmp_path / "root", 1_750_000_000)
    box_disk.clamp_times(made, 1_700_000_000)
    assert (made / "etc" / "packaged").stat().st_mtime == 1_600_000_000
    assert (made / "etc" / "written").stat().st_mtime == box_disk.EPOCH


def test_the_ovf_is_one_that_import_accepts_with_its_disk(tmp_path: Path) -> None:
    disk = b"KDMV" + bytes(8) + (box_disk.DISK_SIZE // 512).to_bytes(8, "little") + bytes(1000)
    text = box_pack.ovf(len(disk))
    with tarfile.open(tmp_path / "some.box", "w") as archive:
        for name, content in (("box.ovf", text.encode()), (box_pack.VMDK, disk)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    box_check.check(tmp_path / "some.box", "x86_64")
    kinds = {element.get("type") for element in ElementTree.fromstring(text).iter() if element.get("type")}
    assert {"ICH9", "AHCI", "82540EM"} <= kinds
