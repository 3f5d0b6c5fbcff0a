"""One virtual machine by libvirt, from building its box through a reboot to nothing: small enough for every run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from orchestrator import host
from tests.e2e.conftest import User, poll
from tests.e2e_vm import machines
from tests.e2e_vm.machines import on

NODE = "m-k8s"
LAB = """version: 1
name: one-vm
profile: bare
provider: libvirt
network: {subnet: auto}
control_plane: {cpus: 2, memory: 1024}
workers: {count: 0}
mounts: [{host: ./course, node: /srv/course}]
"""

pytestmark = [
    pytest.mark.real,
    pytest.mark.vm,
    pytest.mark.story,
    pytest.mark.representative,
    pytest.mark.takes(75),
    # What else is missing, Vagrant and libvirt included, the first command installs: that is a part of the proof.
    pytest.mark.skipif(os.geteuid() != 0 and not host.has_service_manager(), reason="starting libvirtd takes root"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, host_before: dict[str, list[str]]) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("one-vm"))
    (user.home / "course").mkdir()
    (user.home / "course" / "notes").write_text("chapter 1\n", encoding="utf-8")
    (user.home / "lab.yml").write_text(LAB, encoding="utf-8")
    try:
        done = user.run("provision", "--yes", "--output", "json", "--progress", "plain")
        print(done.stderr[-6000:])
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
        (user.home / "provision.json").write_text(done.stdout, encoding="utf-8")
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def test_a_machine_is_prepared_and_its_own_kernel_proves_it(lab: User) -> None:
    report = json.loads((lab.home / "provision.json").read_text(encoding="utf-8"))["verify"]
    assert report["ok"]
    assert report["summary"]["warning"] == 0
    kernel = [check for check in report["checks"] if check["id"].startswith(("swapoff.", "br_netfilter."))]
    assert kernel
    assert {check["status"] for check in kernel} == {"ok"}
    assert "swap" in on(lab, NODE, "lsblk", "-no", "LABEL,FSTYPE")
    machines.assert_prepared(lab, NODE)


def test_a_mounted_folder_is_a_copy_on_the_machine_that_provision_refreshes(lab: User) -> None:
    assert on(lab, NODE, "cat", "/srv/course/notes") == "chapter 1"
    (lab.home / "course" / "notes").write_text("chapter 2\n", encoding="utf-8")
    assert lab.json("provision", "--yes", "--progress", "plain")["verify"]["ok"]
    assert on(lab, NODE, "cat", "/srv/course/notes") == "chapter 2"


def test_swap_that_somebody_turned_on_is_found_and_turned_off(lab: User) -> None:
    on(lab, NODE, "sudo swapon -L swap")
    found = lab.run("verify", "--output", "json", timeout=300)
    assert found.returncode == 6, found.stderr
    failed = {check["id"] for check in json.loads(found.stdout)["checks"] if check["status"] == "failed"}
    assert failed == {"swapoff.now"}
    healed = lab.json("provision", "--yes", "--progress", "plain")
    assert healed["verify"]["ok"]


def test_after_a_reboot_the_machine_is_as_it_was(lab: User) -> None:
    machines.reboot(lab, [NODE])
    poll("verify is green", lambda: lab.run("verify", timeout=300).returncode == 0, 300)
    machines.assert_prepared(lab, NODE)


def test_destroy_leaves_no_machine_disk_network_daemon_or_firewall_rule(
    lab: User, host_before: dict[str, list[str]]
) -> None:
    machines.destroy(lab, "one-vm", host_before)
