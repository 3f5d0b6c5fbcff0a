"""The box, the Vagrantfile and the refusals against VirtualBox' own programs, up to what needs the kernel driver."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtualbox.conftest import LAB, MACHINE, Reader

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.representative, pytest.mark.takes(5)]

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "vagrant").glob("virtualbox-*.rb"))
BOX_LIMIT = 300 * 2**20


@pytest.fixture(scope="module")
def imported(reader: Reader, box: Path) -> Iterator[Path]:
    """The box, unpacked and imported as Vagrant does it; its folder."""
    folder = reader.home / "unpacked"
    with tarfile.open(box) as archive:
        archive.extractall(folder, filter="data")
    reader.virtualbox.manage("import", str(folder / "box.ovf"))
    yield folder
    reader.virtualbox.manage("unregistervm", "labctl-debian-12", "--delete")


@pytest.fixture(scope="module")
def rendered(reader: Reader) -> Iterator[Path]:
    """The render folder, its machine made by Vagrant up to the start that the missing driver refuses."""
    folder = reader.home / "rendered"
    done = reader.labctl("render", "--to", str(folder))
    assert done.returncode == 0, done.stderr
    up = reader.virtualbox.run(
        "vagrant", "up", "--no-provision", "--provider=virtualbox", cwd=folder, check=False, WITHOUT_DRIVER="1"
    )
    (reader.home / "up.txt").write_text(up.stdout + up.stderr, encoding="utf-8")
    yield folder
    reader.virtualbox.run("vagrant", "destroy", "-f", cwd=folder)


def test_the_box_is_small_enough_to_be_passed_on(box: Path) -> None:
    assert box.stat().st_size <= BOX_LIMIT


def test_virtualbox_imports_the_machine_that_the_box_describes(reader: Reader, imported: Path) -> None:
    shown = reader.shown("labctl-debian-12")
    wanted = {
        "chipset": "ich9",
        "firmware": "BIOS",
        "storagecontrollertype0": "IntelAhci",
        "nic1": "nat",
        "nictype1": "82540EM",
        "rtcuseutc": "on",
        "audio": "none",
        "VMState": "poweroff",
    }
    assert {name: shown[name] for name in wanted} == wanted


def test_virtualbox_reads_every_byte_of_the_disk(reader: Reader, imported: Path) -> None:
    """VirtualBox' own reader and qemu-img, which wrote the disk, have to agree."""
    disk = reader.shown("labctl-debian-12")["SATA Controller-0-0"]
    copy = reader.home / "copy.vdi"
    reader.virtualbox.manage("clonemedium", "disk", disk, str(copy), "--format", "VDI")
    try:
        argv = ["qemu-img", "compare", "-f", "vmdk", "-F", "vdi", str(imported / "box-disk001.vmdk"), str(copy)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
        assert "Images are identical" in done.stdout, done.stdout + done.stderr
    finally:
        reader.virtualbox.manage("closemedium", "disk", str(copy), "--delete")


def test_vagrant_takes_the_rendered_vagrantfile(reader: Reader, rendered: Path) -> None:
    assert "successfully" in reader.virtualbox.run("vagrant", "validate", cwd=rendered).stdout


def test_vagrant_makes_the_machine_of_lab_yml(reader: Reader, rendered: Path) -> None:
    plan = json.loads((rendered / "plan.json").read_text(encoding="utf-8"))
    node, shown = plan["nodes"][0], reader.shown(MACHINE)
    assert (shown["cpus"], shown["memory"]) == (str(node["cpus"]), str(node["memory"]))
    assert shown["groups"] == "/k8s-SgMST-1.13.1(github_SysNet4Admin)"
    assert shown["Forwarding(0)"] == f"ssh,tcp,127.0.0.1,{node['ssh_port']},,22"
    assert (shown["nic1"], shown["nic2"], shown["nic3"]) == ("nat", "hostonly", "none")
    assert shown["hostonlyadapter2"].startswith("vboxnet")
    assert "/Snapshots/" in shown["SATA Controller-0-0"], "the machine is no linked clone"


@pytest.mark.parametrize("file", GOLDEN, ids=lambda path: path.stem)
def test_vagrant_accepts_every_golden_file(file: Path, reader: Reader) -> None:
    assert "successfully" in validated(reader, file.read_text(encoding="utf-8")).stdout


@pytest.mark.parametrize("setting", ["memory", "cpus", "linked_clone", "check_guest_additions"])
def test_a_misspelt_setting_does_not_pass(setting: str, reader: Reader) -> None:
    wrong = setting[:-1] + "x"
    done = validated(reader, GOLDEN[0].read_text(encoding="utf-8").replace(f"vb.{setting} =", f"vb.{wrong} ="))
    assert done.returncode != 0
    assert f"shouldn't exist: {wrong}" in done.stdout + done.stderr


def validated(reader: Reader, vagrantfile: str) -> subprocess.CompletedProcess[str]:
    """What `vagrant validate` says of a Vagrantfile."""
    folder = reader.home / "validated"
    folder.mkdir(exist_ok=True)
    (folder / "Vagrantfile").write_text(vagrantfile, encoding="utf-8")
    environment = {"VAGRANT_DEFAULT_PROVIDER": "virtualbox"}
    return reader.virtualbox.run("vagrant", "validate", cwd=folder, check=False, **environment)


def test_only_the_start_of_the_machine_needs_the_driver(reader: Reader, rendered: Path) -> None:
    said = (reader.home / "up.txt").read_text(encoding="utf-8")
    assert re.search(r"Booting VM.*\n", said)
    assert '"startvm"' in said
    assert said.count("There was an error while executing `VBoxManage`") == 1


def test_without_the_driver_provision_is_refused_before_anything_is_made(reader: Reader) -> None:
    before = reader.virtualbox.manage("list", "vms")
    done = reader.labctl("provision", "--yes", driver=False)
    assert done.returncode == 3
    assert "VirtualBox's kernel driver is not loaded: there is no /dev/vboxdrv" in done.stderr
    assert "fix: sudo modprobe vboxdrv" in done.stderr
    assert done.stderr.count("fix:") == 1
    assert reader.virtualbox.manage("list", "vms") == before


def test_auto_passes_such_a_host_over_and_says_why(reader: Reader) -> None:
    file = reader.home / "lab.yml"
    file.write_text(LAB.replace("provider: virtualbox\n", ""), encoding="utf-8")
    try:
        done = reader.labctl("plan", "--output", "json", driver=False)
    finally:
        file.write_text(LAB, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    reason = next(one["reason"] for one in plan["decisions"] if one["field"] == "provider")
    assert plan["provider"] != "virtualbox"
    assert "virtualbox: VirtualBox's kernel driver is not loaded" in reason
