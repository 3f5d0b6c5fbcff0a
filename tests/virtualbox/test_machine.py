"""A machine of VirtualBox from nothing through its life to nothing; QEMU stands in for the kernel driver."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.virtualbox.conftest import MACHINE, Reader

NODE, ADDRESS = "m-k8s", "192.168.63.10"

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.story, pytest.mark.takes(60)]


@pytest.fixture(scope="module")
def lab(reader: Reader) -> Iterator[Reader]:
    """A lab beside a machine of the reader's own."""
    reader.virtualbox.manage("createvm", "--name", "Büro 2 (mine)", "--register")
    with reader.provisioned("--system") as lab:
        yield lab


def on(lab: Reader, command: str) -> str:
    return lab.good("ssh", NODE, "--", command)


def snapshots(lab: Reader) -> list[str]:
    return re.findall(r"Name: (\S+)", lab.virtualbox.manage("snapshot", MACHINE, "list"))


def test_provision_ends_verified(lab: Reader) -> None:
    report = json.loads((lab.home / "first.json").read_text(encoding="utf-8"))["verify"]
    assert report["ok"]
    kernel = [check for check in report["checks"] if check["id"].startswith(("swapoff.", "br_netfilter."))]
    assert kernel
    assert {check["status"] for check in kernel} == {"ok"}


def test_the_node_has_its_host_only_address_beside_the_nat(lab: Reader) -> None:
    addresses = json.loads(on(lab, "ip -json -4 address"))
    found = {one["ifname"]: one["addr_info"][0]["local"] for one in addresses if one["ifname"] != "lo"}
    assert found == {"eth0": "10.0.2.15", "eth1": ADDRESS}


def test_the_running_machine_is_the_one_of_lab_yml(lab: Reader) -> None:
    plan = json.loads((lab.home / ".labctl" / "book" / "plan.json").read_text(encoding="utf-8"))
    node, shown = plan["nodes"][0], lab.shown(MACHINE)
    assert shown["VMState"] == "running"
    assert (shown["cpus"], shown["memory"]) == (str(node["cpus"]), str(node["memory"]))
    assert shown["groups"] == "/k8s-SgMST-1.13.1(github_SysNet4Admin)"
    assert shown["Forwarding(0)"] == f"ssh,tcp,127.0.0.1,{node['ssh_port']},,22"


def test_a_second_provision_changes_nothing(lab: Reader) -> None:
    again = json.loads(lab.good("provision", "--yes", "--full", "--output", "json"))
    assert set(again["changed"].values()) == {0}


def test_halt_stops_it(lab: Reader) -> None:
    lab.good("halt")
    assert lab.shown(MACHINE)["VMState"] == "poweroff"


def test_a_snapshot_comes_and_goes_beside_one_of_the_readers_own(lab: Reader) -> None:
    lab.virtualbox.manage("snapshot", MACHINE, "take", "mine")
    lab.good("snapshot", "save", "before")
    assert [name.rpartition(".")[0] for name in snapshots(lab)] == ["", "labctl.before"]
    lab.good("snapshot", "delete", "before", "--yes")
    assert snapshots(lab) == ["mine"]


def test_destroy_leaves_the_readers_own_machine_and_nothing_else(lab: Reader) -> None:
    lab.good("destroy", "--yes")
    assert lab.registered() == ["Büro 2 (mine)"]
    assert lab.virtualbox.manage("list", "runningvms") == ""
    assert not (lab.home / ".labctl").exists()
