"""A lab of virtual machines by libvirt, from nothing to proven, through a reboot of every node, and back to nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.providers import libvirt_daemon
from tests.e2e.conftest import User, poll

LAB = """version: 1
name: vm-lab
provider: libvirt
network: {subnet: auto}
control_plane: {cpus: 2, memory: 2560}
workers: {count: 1, cpus: 1, memory: 1536}
"""
NODES = ["m-k8s", "w1-k8s"]
REBOOT_SECONDS = 300
SETTLE_SECONDS = 300

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("vagrant") is None, reason="Vagrant is not installed"),
    pytest.mark.skipif(shutil.which("virsh") is None, reason="libvirt is not installed"),
    pytest.mark.skipif(
        os.geteuid() != 0 and not libvirt_daemon.service_manager(), reason="starting libvirtd takes root"
    ),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("vm"))
    (user.home / "lab.yml").write_text(LAB, encoding="utf-8")
    done = user.run("provision", "--yes", "--output", "json", "--progress", "plain", timeout=2400)
    print(done.stderr[-8000:])
    try:
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
        (user.home / "provision.json").write_text(done.stdout, encoding="utf-8")
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def on(lab: User, node: str, *command: str) -> str:
    """What a command on a node prints; empty when the node does not answer."""
    return lab.run("ssh", node, "--", *command, timeout=120).stdout.strip()


def test_provision_ends_verified_and_proves_what_a_container_cannot(lab: User) -> None:
    report = json.loads((lab.home / "provision.json").read_text(encoding="utf-8"))["verify"]
    assert report["ok"]
    kernel = [c for c in report["checks"] if c["id"].startswith(("swapoff.", "br_netfilter.")) and c["node"] in NODES]
    assert kernel
    assert {check["status"] for check in kernel} == {"ok"}


def test_a_machine_starts_with_swap_which_is_what_makes_swapoff_worth_proving(lab: User) -> None:
    assert "swap" in on(lab, "w1-k8s", "lsblk", "-no", "LABEL,FSTYPE")


def test_nodes_report_their_lab_addresses_never_the_nats(lab: User) -> None:
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    plan = json.loads((lab.home / ".labctl" / "vm-lab" / "plan.json").read_text(encoding="utf-8"))
    wanted = {node["name"]: node["address"] for node in plan["nodes"]}
    found = {
        item["metadata"]["name"]: address["address"]
        for item in nodes
        for address in item["status"]["addresses"]
        if address["type"] == "InternalIP"
    }
    assert found == wanted


def test_after_a_reboot_of_every_node_the_lab_is_as_it_was(lab: User) -> None:
    before = {node: on(lab, node, "cat", "/proc/sys/kernel/random/boot_id") for node in NODES}
    for node in NODES:
        lab.run("ssh", node, "--", "sudo", "systemctl", "reboot", timeout=60)
    for node in NODES:
        poll(
            f"{node} is back",
            lambda node=node: (now := on(lab, node, "cat", "/proc/sys/kernel/random/boot_id")) and now != before[node],
            REBOOT_SECONDS,
        )
    poll("verify is green", lambda: lab.run("verify", timeout=300).returncode == 0, SETTLE_SECONDS)
    for node in NODES:
        assert on(lab, node, "cat", "/proc/swaps").count("\n") == 0
        assert "br_netfilter" in on(lab, node, "cat", "/proc/modules")
        assert on(lab, node, "cat", "/proc/sys/net/bridge/bridge-nf-call-iptables") == "1"


def test_destroy_leaves_no_machine_disk_network_or_daemon(lab: User) -> None:
    plan = json.loads((lab.home / ".labctl" / "vm-lab" / "plan.json").read_text(encoding="utf-8"))
    short = plan["uuid"][:8]
    done = lab.run("destroy", "--yes", timeout=300)
    assert done.returncode == 0, done.stderr
    places = [Path("/etc/libvirt/qemu"), Path("/etc/libvirt/qemu/networks"), Path("/var/lib/libvirt/images")]
    left = [path for place in places if place.is_dir() for path in place.rglob("*") if short in path.name]
    assert left == []
    assert not (lab.home / ".labctl").exists()
    assert not libvirt_daemon.started_here()
