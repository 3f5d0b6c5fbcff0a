"""A lab of virtual machines by libvirt, from nothing to proven, through a reboot of every node, and back to nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.providers import libvirt_daemon
from tests import host_state
from tests.e2e.conftest import CHECKOUT, User, poll

LAB = """version: 1
name: vm-lab
provider: libvirt
network: {subnet: auto}
control_plane: {cpus: 2, memory: 2560}
workers: {count: 1, cpus: 1, memory: 1536}
"""
NODES = ["m-k8s", "w1-k8s"]
# For two emulated machines on two cores: there a verify takes more than six minutes.
PROVISION_SECONDS = 3000
REBOOT_SECONDS = 600
VERIFY_SECONDS = 900
SETTLE_SECONDS = 1800
MOLECULE_SECONDS = 1200
SELINUX_AT_BOOT = "sudo sed -i '/APPEND/s/security=none/security=selinux/' /boot/extlinux/extlinux.conf"
# What of the host a lab of virtual machines touches. Other parts belong to other proofs, which may run beside this one.
HOST = ("iptables", "ip6tables", "nft", "runtime", "forwarding", "cgroups")

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
def host_before() -> dict[str, list[str]]:
    return host_state.snapshot()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, host_before: dict[str, list[str]]) -> Iterator[User]:
    # Named, the lab survives a test that fails, and the next run goes on with it.
    named = os.environ.get("LABCTL_VMS_HOME")
    user = User(Path(named) if named else tmp_path_factory.mktemp("vm"))
    (user.home / "lab.yml").write_text(LAB, encoding="utf-8")
    report = user.home / "provision.json"
    try:
        if not report.exists():
            done = user.run("provision", "--yes", "--output", "json", "--progress", "plain", timeout=PROVISION_SECONDS)
            print(done.stderr[-8000:])
            assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
            report.write_text(done.stdout, encoding="utf-8")
        yield user
    finally:
        if not named:
            user.run("destroy", "--yes", timeout=300)


def on(lab: User, node: str, *command: str) -> str:
    """What a command on a node prints; empty when the node does not answer."""
    return lab.run("ssh", node, "--", *command, timeout=120).stdout.strip()


def molecule(lab: User, scenario: str) -> None:
    """Run a scenario of molecule/ on the last node of the lab."""
    argv = [sys.executable, "-m", "molecule", "test", "--scenario-name", scenario]
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    env = {**lab.environment, "LABCTL_LAB_DIR": str(lab.home / ".labctl" / "vm-lab"), "PATH": path}
    done = subprocess.run(argv, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=MOLECULE_SECONDS)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def verified(lab: User) -> bool:
    """Whether verify is green; its report is kept for the tests that ask for more."""
    done = lab.run("verify", "--output", "json", timeout=VERIFY_SECONDS)
    (lab.home / "verify.json").write_text(done.stdout, encoding="utf-8")
    return done.returncode == 0


def verdicts(lab: User, prefix: str, node: str) -> set[str]:
    """What the last verify said of the checks of a node whose ids begin with `prefix`."""
    checks = json.loads((lab.home / "verify.json").read_text(encoding="utf-8"))["checks"]
    return {check["status"] for check in checks if check["id"].startswith(prefix) and check["node"] == node}


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


@pytest.mark.parametrize("role", ["swapoff", "br_netfilter"])
def test_the_role_repairs_a_machine_and_changes_nothing_the_second_time(lab: User, role: str) -> None:
    molecule(lab, role)


def test_after_a_reboot_of_every_node_the_lab_is_as_it_was(lab: User) -> None:
    # One of them boots with SELinux, which the box has set to enforce and the role to be permissive.
    on(lab, "w1-k8s", SELINUX_AT_BOOT)
    before = {node: on(lab, node, "cat", "/proc/sys/kernel/random/boot_id") for node in NODES}
    for node in NODES:
        lab.run("ssh", node, "--", "sudo", "systemctl", "reboot", timeout=60)
    for node in NODES:
        poll(
            f"{node} is back",
            lambda node=node: (now := on(lab, node, "cat", "/proc/sys/kernel/random/boot_id")) and now != before[node],
            REBOOT_SECONDS,
        )
    poll("verify is green", lambda: verified(lab), SETTLE_SECONDS)
    for node in NODES:
        assert on(lab, node, "cat", "/proc/swaps").count("\n") == 0
        assert "br_netfilter" in on(lab, node, "cat", "/proc/modules")
        assert on(lab, node, "cat", "/proc/sys/net/bridge/bridge-nf-call-iptables") == "1"


def test_a_kernel_with_selinux_boots_permissive(lab: User) -> None:
    assert on(lab, "w1-k8s", "cat", "/sys/fs/selinux/enforce") == "0"
    assert verdicts(lab, "selinux_permissive.", "w1-k8s") == {"ok"}
    assert verdicts(lab, "selinux_permissive.", "m-k8s") == {"not_applicable"}


def test_the_role_makes_a_kernel_with_selinux_permissive_and_changes_nothing_the_second_time(lab: User) -> None:
    molecule(lab, "selinux_permissive")
    assert on(lab, "w1-k8s", "cat", "/sys/fs/selinux/enforce") == "0"


def test_destroy_leaves_no_machine_disk_network_daemon_or_firewall_rule(
    lab: User, host_before: dict[str, list[str]]
) -> None:
    plan = json.loads((lab.home / ".labctl" / "vm-lab" / "plan.json").read_text(encoding="utf-8"))
    short = plan["uuid"][:8]
    ours = libvirt_daemon.started_here()
    done = lab.run("destroy", "--yes", timeout=300)
    assert done.returncode == 0, done.stderr
    places = [Path("/etc/libvirt/qemu"), Path("/etc/libvirt/qemu/networks"), Path("/var/lib/libvirt/images")]
    left = [path for place in places if place.is_dir() for path in place.rglob("*") if short in path.name]
    assert left == []
    assert not (lab.home / ".labctl").exists()
    assert not libvirt_daemon.started_here()
    if ours:
        now = host_state.snapshot()
        assert host_state.differences({part: host_before[part] for part in HOST}, now) == []
