"""Makes a box's disk from its root directory, and packs it."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import HostError

MBR = Path("/usr/lib/EXTLINUX/mbr.bin")

SWAP_MB = 512
ROOT_MB = 20 * 1024
# Partitions begin on a full MB: swap first, so that the root can be made larger.
SWAP_START = 1
ROOT_START = SWAP_START + SWAP_MB
DISK_SIZE = (ROOT_START + ROOT_MB + 1) * 2**20


def tool_path() -> str:
    """The PATH on which the tools are, those of an administrator included."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def run_tool(argv: list[str], log: Path, timeout: float = 600) -> proc.Result:
    """Run a tool of the build, its output going to the log. Raises HostError with the log's place."""
    try:
        return proc.stream(argv, lambda line: None, timeout=timeout, log=log, env={"PATH": tool_path()})
    except proc.ProcessFailed as problem:
        raise HostError(f"the box could not be built: {problem}", log=log, fix=f"less {log}") from problem


def make_disk(work: Path, log: Path) -> None:
    """An MBR disk: swap, then a bootable ext4 root filled from the directory, then extlinux in it."""
    disk = work / "disk.raw"
    with disk.open("wb") as stream:
        stream.truncate(DISK_SIZE)
    layout = (
        "label: dos\n"
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
    run_tool(["mkswap", "--quiet", "--label", "swap", str(swap)], log)
    with disk.open("r+b") as stream:
        # The signature is all that mkswap writes, in the first page.
        stream.seek(SWAP_START * 2**20)
        stream.write(swap.read_bytes()[:4096])
        stream.seek(0)
        stream.write(MBR.read_bytes()[:440])
    offset = ROOT_START * 2**20
    # extlinux reads neither 64 bit block numbers nor metadata checksums.
    run_tool(
        [
            "mke2fs", "-q", "-t", "ext4", "-L", "root", "-O", "^64bit,^metadata_csum", "-m", "0",
            "-E", f"offset={offset},lazy_itable_init=1", "-d", str(work / "root"), str(disk), f"{ROOT_MB}M",
        ],
        log,
    )  # fmt: skip
    with _mounted(disk, offset, work / "mnt", log) as mounted:
        run_tool(["extlinux", "--install", str(mounted / "boot" / "extlinux")], log)


@contextlib.contextmanager
def _mounted(disk: Path, offset: int, where: Path, log: Path) -> Iterator[Path]:
    """The file system at an offset of the disk, mounted; unmounted and detached in the end whatever happens."""
    where.mkdir()
    size = ROOT_MB * 2**20
    device = proc.run(
        ["losetup", "--find", "--show", "--offset", str(offset), "--sizelimit", str(size), str(disk)],
        env={"PATH": tool_path()},
    ).stdout.strip()
    try:
        run_tool(["mount", "-t", "ext4", device, str(where)], log)
        try:
            yield where
        finally:
            run_tool(["umount", str(where)], log)
    finally:
        run_tool(["losetup", "--detach", device], log)


def pack_box(work: Path) -> None:
    """The box: a tar of metadata and image (compressed already)."""
    size = -(-DISK_SIZE // 2**30)
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": size}
    (work / "metadata.json").write_text(json.dumps(metadata) + "\n", encoding="utf-8")
    with tarfile.open(work / "box.box", "w") as archive:
        for name in ("metadata.json", "box.img"):
            archive.add(work / name, arcname=name)
