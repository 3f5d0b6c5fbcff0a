"""The real Vagrant reads our Vagrantfile under its VirtualBox provider and drives a double of VBoxManage with it."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog, host, proc, spec
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan
from orchestrator.providers.vagrant.vagrantfile import Box, render

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = sorted((TESTS / "golden" / "vagrant").glob("virtualbox-*.rb"))
BOX = "labctl/double"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("vagrant") is None, reason="Vagrant is not installed"),
]


@dataclass(frozen=True)
class Double:
    """A Vagrant project whose VirtualBox is tests/doubles/VBoxManage and whose guests are tests/doubles/guest.rb."""

    place: Path

    def vagrant(self, *arguments: str, check: bool = True, **env: str) -> proc.Result:
        path = f"{TESTS / 'doubles'}:{os.environ['PATH']}"
        settings = {
            "PATH": path,
            "HOME": str(self.place),
            "VAGRANT_HOME": str(self.place / "home"),
            "VAGRANT_DEFAULT_PROVIDER": "virtualbox",
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VBOXMANAGE_DOUBLE": str(self.place / "double"),
        }
        lab = self.place / "lab"
        return proc.run(["vagrant", *arguments], check=check, timeout=300, env={**settings, **env}, cwd=lab)

    def write(self, text: str) -> None:
        (self.place / "lab" / "Vagrantfile").write_text(text, encoding="utf-8")

    def machines(self) -> dict[str, Any]:
        """The double's machines by name, the master of the linked clones left out."""
        state = json.loads((self.place / "double" / "state.json").read_text(encoding="utf-8"))
        return {vm["name"]: vm for vm in state["vms"].values() if "clone_of" in vm}

    def calls(self) -> list[list[str]]:
        text = (self.place / "double" / "calls.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    (tmp_path / "lab").mkdir()
    (tmp_path / "home").mkdir()
    shutil.copyfile(TESTS / "doubles" / "guest.rb", tmp_path / "home" / "Vagrantfile")
    yield Double(tmp_path)
    if (tmp_path / "lab" / ".vagrant").exists():
        Double(tmp_path).vagrant("destroy", "-f", check=False)


@pytest.fixture
def lab(observe: Callable[..., Observed], tmp_path: Path) -> Callable[..., Plan]:
    """A plan for VirtualBox; its forwards lead to ports that are free here, because Vagrant looks."""

    def make(text: str) -> Plan:
        file = tmp_path / "lab.yml"
        file.write_text(text, encoding="utf-8")
        plan = make_plan(spec.load(file), catalog.load(), observe(), "render")
        free = (port for port in range(41000, 42000) if host.port_is_free(port))
        nodes = tuple(replace(node, ssh_port=next(free)) for node in plan.nodes)
        kubernetes = replace(plan.kubernetes, api_port=next(free)) if plan.kubernetes else None
        return replace(plan, nodes=nodes, kubernetes=kubernetes)

    return make


def add_box(double: Double) -> None:
    """A box that holds nothing but what Vagrant reads: its metadata and the name of an OVF."""
    file = double.place / "double.box"
    with tarfile.open(file, "w") as archive:
        for name, text in {"metadata.json": '{"provider": "virtualbox"}', "box.ovf": "<Envelope/>"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, BytesIO(text.encode()))
    double.vagrant("box", "add", "--name", BOX, str(file))


@pytest.mark.parametrize("file", GOLDEN, ids=lambda path: path.stem)
def test_vagrant_accepts_every_golden_file_under_its_virtualbox_configuration(file: Path, double: Double) -> None:
    double.write(file.read_text(encoding="utf-8"))
    assert "validated successfully" in double.vagrant("validate").stdout


@pytest.mark.parametrize("setting", ["memory", "cpus", "linked_clone", "check_guest_additions"])
def test_a_misspelt_virtualbox_setting_does_not_pass(setting: str, double: Double) -> None:
    wrong = setting[:-1] + "x"
    text = next(path for path in GOLDEN if path.stem == "virtualbox-workers-1").read_text(encoding="utf-8")
    double.write(text.replace(f"vb.{setting} =", f"vb.{wrong} ="))
    result = double.vagrant("validate", check=False)
    assert not result.ok
    assert f"shouldn't exist: {wrong}" in result.stdout + result.stderr


class TestMachines:
    """One `vagrant up`, `halt`, `up`, `destroy` of the book's names and sizes."""

    @pytest.fixture
    def up(self, double: Double, lab: Callable[..., Plan]) -> tuple[Double, Plan]:
        plan = lab("version: 1\nname: book\nprofile: book\nprovider: virtualbox\nnetwork: {subnet: 192.168.56.0/24}\n")
        add_box(double)
        double.write(render(plan, Box(BOX)))
        double.vagrant("up", "--no-provision")
        return double, plan

    def test_vagrant_asks_virtualbox_for_the_planned_machines_and_takes_them_away(
        self, up: tuple[Double, Plan]
    ) -> None:
        double, plan = up
        machines = double.machines()
        assert list(machines) == [node.display_name for node in plan.nodes]
        for node in plan.nodes:
            vm = machines[node.display_name]
            forwards = {f"ssh,tcp,127.0.0.1,{node.ssh_port},,22"}
            if node is plan.control_plane and plan.kubernetes:
                forwards.add(f"kubernetes,tcp,127.0.0.1,{plan.kubernetes.api_port},,6443")
            assert vm["linked"]
            assert vm["gui"] == "headless"
            assert vm["set"]["cpus"] == str(node.cpus)
            assert vm["set"]["memory"] == str(node.memory)
            assert vm["set"]["groups"] == "/k8s-SgMST-1.13.1(github_SysNet4Admin)"
            assert set(vm["forwards"].values()) == forwards
            assert vm["nics"]["1"]["type"] == "nat"
            assert vm["nics"]["2"] == {"type": "hostonly", "adapter": "vboxnet0"}
            owner = {"labctl/uuid": plan.uuid, "labctl/name": "book", "labctl/node": node.name}
            assert owner.items() <= vm["extra"].items()
        assert [
            "hostonlyif",
            "ipconfig",
            "vboxnet0",
            "--ip",
            "192.168.56.1",
            "--netmask",
            "255.255.255.0",
        ] in double.calls()
        assert not [call for call in double.calls() if call[0] == "sharedfolder" and call[1] == "add"]

        double.vagrant("halt")
        assert {vm["state"] for vm in double.machines().values()} == {"poweroff"}
        double.vagrant("up", "--no-provision", "w2-k8s")
        assert [vm["state"] for vm in double.machines().values()] == ["poweroff", "poweroff", "running", "poweroff"]
        double.vagrant("destroy", "-f")
        assert double.machines() == {}
