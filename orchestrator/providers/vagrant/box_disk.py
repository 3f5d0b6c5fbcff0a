"""Makes a box's disk from its root directory, the same bytes from the same root."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from orchestrator import proc
from orchestrator.errors import HostError

# Within the root: what the firmware loads, and what that loads.
BOOT_SECTOR = "usr/lib/grub/i386-pc/boot.img"
LOADER = "boot/grub/core.img"

SECTOR = 512
SWAP_MB = 512
ROOT_MB = 20 * 1024
# Partitions begin on a full MB: swap first, so that the root can be made larger.
SWAP_START = 1
ROOT_START = SWAP_START + SWAP_MB
DISK_SIZE = (ROOT_START + ROOT_MB + 1) * 2**20
# Whatever a build makes itself carries this time and these ids (2025-01-01), so that two builds are the same.
EPOCH = 1735689600
DISK_ID = 0x6C616263
ROOT_ID = "6c616263-746c-4000-8000-000000000001"
SWAP_ID = "6c616263-746c-4000-8000-000000000002"


def tool_path() -> str:
    """The PATH on which the tools are, those of an administrator included."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def run_tool(argv: list[str], log: Path, timeout: float = 600, env: Mapping[str, str] = {}) -> proc.Result:
    """Run a tool of the build, its output going to the log. Raises HostError with the log's place."""
    try:
        return proc.stream(argv, lambda line: None, timeout=timeout, log=log, env={"PATH": tool_path(), **env})
    except proc.ProcessFailed as problem:
        raise HostError(f"the box could not be built: {problem}", log=log, fix=f"less {log}") from problem


def make_disk(work: Path, log: Path) -> None:
    """An MBR disk: GRUB, swap, then an ext4 root filled from the directory; needs no mount and no loop device."""
    disk, root = work / "disk.raw", work / "root"
    with disk.open("wb") as stream:
        stream.truncate(DISK_SIZE)
    layout = (
        f"label: dos\nlabel-id: {DISK_ID:#x}\n"
        f"start={SWAP_START * 2048}, size={SWAP_MB * 2048}, type=82\n"
        f"start={ROOT_START * 2048}, size={ROOT_MB * 2048}, type=83, bootable\n"
    )
    try:
        proc.run(["sfdisk", "--quiet", str(disk)], stdin=layout, env={"PATH": tool_path()})
    except proc.ProcessFailed as problem:
        raise HostError(f"the box's disk could not be laid out: {problem}", log=log, fix=f"less {log}") from problem
    swap = work / "swap"
    with swap.open("wb") as stream:
        stream.truncate(SWAP_MB * 2**20)
    swap.chmod(0o600)
    run_tool(["mkswap", "--quiet", "--label", "swap", "--uuid", SWAP_ID, str(swap)], log)
    loader = (root / LOADER).read_bytes()
    with disk.open("r+b") as stream:
        stream.write((root / BOOT_SECTOR).read_bytes()[:440])
        stream.seek(SECTOR)
        stream.write(loader)
        # The signature is all that mkswap writes, in the first page.
        stream.seek(SWAP_START * 2**20)
        stream.write(swap.read_bytes()[:4096])
    offset = ROOT_START * 2**20
    # Inodes without checksums can have their times replaced.
    run_tool(
        [
            "mke2fs", "-q", "-t", "ext4", "-L", "root", "-U", ROOT_ID, "-O", "^64bit,^metadata_csum", "-m", "0",
            "-E", f"offset={offset},lazy_itable_init=1,hash_seed={ROOT_ID}", "-d", str(root), str(disk), f"{ROOT_MB}M",
        ],
        log,
        env={"E2FSPROGS_FAKE_TIME": str(EPOCH)},
    )  # fmt: skip
    replace_times(disk, offset)


def clamp_times(root: Path, since: float) -> None:
    """Give files that a build wrote after `since` the same time in every build."""
    for directory, names, files in os.walk(root):
        for path in (Path(directory), *(Path(directory, name) for name in (*names, *files))):
            if path.lstat().st_mtime >= since:
                os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


class _Ext4:
    """The inodes of an ext4 file system in a file, without group descriptors of 64 bits."""

    def __init__(self, stream: BinaryIO, offset: int) -> None:
        self._stream, self._offset = stream, offset
        superblock = self.read(1024, 1024)
        self._block = 1024 << struct.unpack_from("<I", superblock, 24)[0]
        self._per_group, self._inode = (
            struct.unpack_from("<I", superblock, 40)[0],
            struct.unpack_from("<H", superblock, 88)[0],
        )
        self._descriptors = (struct.unpack_from("<I", superblock, 20)[0] + 1) * self._block
        self._groups = struct.unpack_from("<I", superblock, 0)[0] // self._per_group

    def read(self, place: int, size: int) -> bytes:
        self._stream.seek(self._offset + place)
        return self._stream.read(size)

    def write(self, place: int, data: bytes) -> None:
        self._stream.seek(self._offset + place)
        self._stream.write(data)

    def inodes(self) -> Iterator[tuple[int, bytes]]:
        """Place and bytes of every inode in use."""
        table_of_groups = self.read(self._descriptors, 32 * self._groups)
        for group in range(self._groups):
            bitmap, table = struct.unpack_from("<II", table_of_groups, 32 * group + 4)
            used = self.read(bitmap * self._block, self._per_group // 8)
            for number in (n for n in range(self._per_group) if used[n // 8] >> n % 8 & 1):
                place = table * self._block + number * self._inode
                yield place, self.read(place, self._inode)


def replace_times(disk: Path, offset: int) -> None:
    """Set the times at which a file system's inodes were made, changed and read to those of their contents."""
    with disk.open("r+b") as stream:
        file_system = _Ext4(stream, offset)
        for place, inode in file_system.inodes():
            fields = bytearray(inode)
            (modified,) = struct.unpack_from("<I", fields, 16)
            struct.pack_into("<III", fields, 8, modified, modified, modified)
            if len(fields) > 128:
                # The parts below a second, and the time of creation.
                struct.pack_into("<IIIII", fields, 132, 0, 0, 0, modified, 0)
            if bytes(fields) != inode:
                file_system.write(place, bytes(fields))
