"""VirtualBox itself runs the box, in software: its firmware, its AHCI controller, the box's boot loader and root disk.

Nothing stands in for anything here. At some five million instructions a second it is too slow for a lab.
"""

from __future__ import annotations

import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import paths
from tests.virtualbox import userland
from tests.virtualbox.userland import Userland

# Its window, and a screen for it to be on.
PROGRAMS = ("virtualbox-qt", "xauth", "xvfb")
WITHOUT_DRIVER = ("--driverless", "--execute-all-in-iem")

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.takes(900)]


@pytest.fixture
def stock(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Userland]:
    programs = tmp_path_factory.mktemp("programs")
    with userland.running(userland.root(*PROGRAMS), programs, (tmp_path, paths.cache_dir())) as virtualbox:
        yield virtualbox


def test_virtualbox_own_firmware_boots_the_box_to_its_root_disk(stock: Userland, box: Path, tmp_path: Path) -> None:
    with tarfile.open(box) as archive:
        archive.extractall(tmp_path / "box", filter="data")
    stock.manage("import", str(tmp_path / "box" / "box.ovf"), "--vsys", "0", "--vmname", "firmware")
    console = tmp_path / "console.log"
    stock.manage("modifyvm", "firmware", "--uart1", "0x3f8", "4", "--uart-mode1", "file", str(console))
    argv = ["--auto-servernum", "/usr/lib/virtualbox/VirtualBoxVM", "--startvm", "firmware", *WITHOUT_DRIVER]
    with (
        (tmp_path / "window.log").open("w") as log,
        subprocess.Popen([stock.programs / "xvfb-run", *argv], stdout=log, stderr=subprocess.STDOUT) as machine,
    ):
        try:
            seen = wait_for("EXT4-fs (sda2): mounted filesystem", console, machine)
        finally:
            machine.terminate()
    assert "VirtualBox" in seen, "the kernel names the machine that it found"
    assert "ahci" in seen, "the disk is on the controller that the box asks for"


def wait_for(line: str, console: Path, machine: subprocess.Popen[bytes], seconds: float = 1500) -> str:
    """Wait until the guest's console has the line; return all of it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = console.read_text(errors="replace") if console.exists() else ""
        if line in seen:
            return seen
        assert machine.poll() is None, f"VirtualBox ended with {machine.returncode}: {seen[-2000:]}"
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {line}\n{seen[-3000:]}"
        time.sleep(1)
