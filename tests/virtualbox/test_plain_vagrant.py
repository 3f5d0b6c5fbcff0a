"""The render folder with Vagrant alone, as a reader of the book types it; QEMU stands in for the driver."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.virtualbox.conftest import MACHINE, Reader

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.story, pytest.mark.takes(60)]


@dataclass(frozen=True)
class Folder:
    """What `labctl render` wrote."""

    reader: Reader
    path: Path

    def vagrant(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.reader.virtualbox.run("vagrant", *words, cwd=self.path)

    @property
    def ssh_port(self) -> int:
        port: int = json.loads((self.path / "plan.json").read_text(encoding="utf-8"))["nodes"][0]["ssh_port"]
        return port

    @property
    def state(self) -> str:
        return self.reader.shown(MACHINE)["VMState"]


@pytest.fixture(scope="module")
def folder(reader: Reader) -> Iterator[Folder]:
    made = Folder(reader, reader.home / "rendered")
    reader.good("render", "--to", str(made.path))
    try:
        yield made
    finally:
        made.vagrant("destroy", "-f")


def test_up_makes_the_machine_and_sets_nothing_up_in_it(folder: Folder) -> None:
    said = folder.vagrant("up").stdout
    assert "Machine booted and ready!" in said
    assert folder.state == "running"


def test_ssh_reaches_the_node_by_its_name_with_its_address(folder: Folder) -> None:
    said = folder.vagrant("ssh", "m-k8s", "-c", "hostname; ip -brief -4 address show eth1").stdout
    assert said.split()[0] == "m-k8s"
    assert "192.168.63.10/24" in said


def test_port_shows_the_forward(folder: Folder) -> None:
    assert f"22 (guest) => {folder.ssh_port} (host)" in folder.vagrant("port", "m-k8s").stdout


def test_provision_has_nothing_to_do(folder: Folder) -> None:
    folder.vagrant("provision")


def test_halt_and_reload_bring_it_back(folder: Folder) -> None:
    folder.vagrant("halt")
    assert folder.state == "poweroff"
    folder.vagrant("reload")
    assert folder.state == "running"


def test_destroy_leaves_nothing_registered(folder: Folder) -> None:
    folder.vagrant("destroy", "-f")
    assert folder.reader.registered() == []
