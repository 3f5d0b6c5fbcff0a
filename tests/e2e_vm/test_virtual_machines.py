"""A lab of virtual machines by libvirt, from nothing to proven, through a reboot of every node, and back to nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import host
from tests.e2e.conftest import User, poll
from tests.e2e_vm import machines
from tests.e2e_vm.machines import on
from tests.selection.labs import record_lab

LAB = """version: 1
name: vm-lab
provider: libvirt
network: {subnet: auto}
packages: {source: debian}
control_plane: {cpus: 2, memory: 2560}
workers: {count: 1, cpus: 1, memory: 1536}
"""
NODES = ["m-k8s", "w1-k8s"]
# For two emulated machines on two cores: there a verify takes more than six minutes.
PROVISION_SECONDS = 3000
VERIFY_SECONDS = 900
SETTLE_SECONDS = 1800
LIMITED_POD = """apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  nodeName: w1-k8s
  containers: [{name: web, image: "labctl/nginx:1.22", resources: {limits: {memory: 64Mi, cpu: 200m}}}]
"""

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.vm,
    pytest.mark.story,
    # What else is missing, Vagrant and libvirt included, the first command installs: that is a part of the proof.
    pytest.mark.skipif(os.geteuid() != 0 and not host.has_service_manager(), reason="starting libvirtd takes root"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, host_before: dict[str, list[str]]) -> Iterator[User]:
    """Two machines on which everything is done that comes before the container runtime."""
    # Named, the lab survives a test that fails, and the next run goes on with it.
    named = os.environ.get("LABCTL_VMS_HOME")
    user = User(Path(named) if named else tmp_path_factory.mktemp("vm"))
    (user.home / "lab.yml").write_text(LAB, encoding="utf-8")
    try:
        if not (user.home / ".labctl").exists():
            provision(user, "--until", "prepare")
        yield user
    finally:
        if not named:
            user.run("destroy", "--yes", timeout=300)


@pytest.fixture(scope="module")
def lab(prepared: User) -> User:
    """The cluster on these machines."""
    report = prepared.home / "provision.json"
    if not report.exists():
        report.write_text(provision(prepared), encoding="utf-8")
    return prepared


def provision(user: User, *arguments: str) -> str:
    """The document that a provision prints in the end."""
    begun = time.monotonic()
    done = user.run(
        "provision", "--yes", "--output", "json", "--progress", "plain", *arguments, timeout=PROVISION_SECONDS
    )
    print(f"{done.stderr[-8000:]}\n{time.monotonic() - begun:.0f} s")
    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
    return done.stdout


def settled(lab: User) -> bool:
    """Whether every node and every pod of the system is ready: one question, where verify has many."""
    listed = lab.run("kubectl", "--", "get", "nodes,pods", "--namespace", "kube-system", "-o", "json", timeout=120)
    if listed.returncode != 0:
        return False
    found = json.loads(listed.stdout)["items"]
    return bool(found) and all(
        condition["status"] == "True"
        for item in found
        for condition in item["status"].get("conditions", [{"type": "Ready", "status": "Unknown"}])
        if condition["type"] == "Ready"
    )


def verified(lab: User) -> bool:
    """Whether verify is green; its report is kept for the tests that ask for more."""
    done = lab.run("verify", "--output", "json", timeout=VERIFY_SECONDS)
    (lab.home / "verify.json").write_text(done.stdout, encoding="utf-8")
    return done.returncode == 0


def verdicts(lab: User, prefix: str, node: str) -> set[str]:
    """What the last verify said of the checks of a node whose ids begin with `prefix`."""
    checks = json.loads((lab.home / "verify.json").read_text(encoding="utf-8"))["checks"]
    return {check["status"] for check in checks if check["id"].startswith(prefix) and check["node"] == node}


@pytest.mark.takes(150)
def test_a_machine_starts_with_swap_which_is_what_makes_swapoff_worth_proving(prepared: User) -> None:
    assert "swap" in on(prepared, "w1-k8s", "lsblk", "-no", "LABEL,FSTYPE")


# Before the cluster, whose kubelet and pods would take most of an emulated processor. The last role boots the worker
# with SELinux, which the box has set to enforce and the role makes permissive: so it stays from then on.
@pytest.mark.full_only
@pytest.mark.takes(210)
@pytest.mark.parametrize("role", ["swapoff", "br_netfilter", "selinux_permissive"])
def test_the_role_repairs_a_machine_and_changes_nothing_the_second_time(prepared: User, role: str) -> None:
    machines.molecule(prepared, "vm-lab", role)


@pytest.mark.takes(640)
def test_provision_ends_verified_and_proves_what_a_container_cannot(lab: User) -> None:
    report = json.loads((lab.home / "provision.json").read_text(encoding="utf-8"))["verify"]
    assert report["ok"]
    kernel = [c for c in report["checks"] if c["id"].startswith(("swapoff.", "br_netfilter.")) and c["node"] in NODES]
    assert kernel
    assert {check["status"] for check in kernel} == {"ok"}
    record_lab(lab.home, __file__, "emulated machines")


@pytest.mark.takes(10)
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


@pytest.mark.takes(550)
def test_after_a_reboot_of_every_node_the_lab_is_as_it_was(lab: User) -> None:
    machines.reboot(lab, NODES)
    poll("nodes and pods are ready", lambda: settled(lab), SETTLE_SECONDS)
    poll("verify is green", lambda: verified(lab), SETTLE_SECONDS)
    for node in NODES:
        machines.assert_prepared(lab, node)


@pytest.mark.full_only
@pytest.mark.takes(10)
def test_a_kernel_with_selinux_boots_permissive(lab: User) -> None:
    # Of the boot before.
    assert on(lab, "w1-k8s", "cat", "/sys/fs/selinux/enforce") == "0"
    assert verdicts(lab, "selinux_permissive.", "w1-k8s") == {"ok"}
    assert verdicts(lab, "selinux_permissive.", "m-k8s") == {"not_applicable"}


@pytest.mark.full_only
@pytest.mark.takes(60)
def test_limits_of_a_pod_are_those_of_the_unified_cgroup_hierarchy(lab: User) -> None:
    assert {on(lab, node, "stat -fc %T /sys/fs/cgroup") for node in NODES} == {"cgroup2fs"}
    assert on(lab, "w1-k8s", "sudo docker info --format '{{.CgroupVersion}} {{.CgroupDriver}}'") == "2 systemd"
    (lab.home / "limited.yml").write_text(LIMITED_POD, encoding="utf-8")
    lab.kubectl("apply", "-f", str(lab.home / "limited.yml"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/limited", "--timeout=110s")
    assert lab.kubectl("exec", "limited", "--", "cat", "/sys/fs/cgroup/memory.max").strip() == str(64 * 1024 * 1024)


@pytest.mark.takes(10)
def test_destroy_leaves_no_machine_disk_network_daemon_or_firewall_rule(
    lab: User, host_before: dict[str, list[str]]
) -> None:
    machines.destroy(lab, "vm-lab", host_before)
