"""A whole cluster on machines that are there already: containers that labctl did not make and does not remove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests import host_state, strangers
from tests.e2e.conftest import User
from tests.integration.test_container_nodes import bare_plan
from tests.selection.labs import record_lab

SUBNET = "192.168.249.0"
LAB = """version: 1
name: mine
provider: static
workers: {{count: 1}}
network: {{subnet: {subnet}/24}}
packages: {{source: debian}}
static:
  key: {key}
  shared_kernel: true
  hosts:
{hosts}
"""
# What the lab brings to a machine and has to take away again.
LABS_OWN = (
    "/etc/kubernetes/*.conf /etc/kubernetes/pki/* /etc/kubernetes/manifests/* /var/lib/etcd/member /etc/cni/net.d/* "
    "/root/.kube /root/.ssh/labctl_nodes /home/vagrant/.ssh/labctl_nodes /etc/ssh/ssh*_config.d/*node-base* "
    "/etc/systemd/system/*labctl-bridge* /etc/systemd/system/*node-base* /usr/local/lib/node_base "
    "/etc/apt/sources.list.d/kubernetes.sources /etc/profile.d/*labctl* /etc/profile.d/*node-base*"
)
# What the shared kernel's owner alone may change.
HOSTS_OWN = ("swapoff.", "selinux_permissive.")

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.story, pytest.mark.takes(60)]


@dataclass
class StaticLab:
    """Somebody whose lab.yml lists machines, and the machines."""

    user: User
    machines: strangers.Strangers
    hosts_before: list[str]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, host_before: dict[str, list[str]]) -> Iterator[StaticLab]:
    home = tmp_path_factory.mktemp("static-lab")
    plan = strangers.with_memory(bare_plan(home, "theirs", SUBNET, 62700), 3072, 2048)
    with strangers.running(home, plan) as machines:
        machines.owner(1, "mkdir ~/.kube; echo of another cluster > ~/.kube/config")
        hosts_before = [machines.owner(index, "grep k8s /etc/hosts") for index in range(2)]
        hosts = "\n".join(f"    - {place.user}@{place.address} {place.fingerprint}" for place in machines.hosts)
        text = LAB.format(subnet=SUBNET, key=machines.key, hosts=hosts)
        (home / "lab.yml").write_text(text, encoding="utf-8")
        user = User(home)
        done = user.run("provision", "--yes", "--output", "json", "--progress", "plain")
        print(done.stderr[-6000:])
        assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-4000:]}"
        (home / "first.json").write_text(done.stdout, encoding="utf-8")
        yield StaticLab(user, machines, hosts_before)
        user.run("destroy", "--yes", timeout=300)
    # The machines' end is their owner's, and their engine's.
    assert host_state.differences(host_before, host_state.snapshot()) == []


def test_the_cluster_is_verified_and_what_is_the_hosts_is_left_alone(lab: StaticLab) -> None:
    report = json.loads((lab.user.home / "first.json").read_text(encoding="utf-8"))["verify"]
    assert report["ok"]
    hosts_own = [check for check in report["checks"] if check["id"].startswith(HOSTS_OWN) and check["node"]]
    assert {check["status"] for check in hosts_own} == {"not_applicable"}
    record_lab(lab.user.home, __file__, "machines that labctl did not make")


def test_the_nodes_are_the_listed_machines_at_their_addresses(lab: StaticLab) -> None:
    nodes = json.loads(lab.user.kubectl("get", "nodes", "-o", "json"))["items"]
    found = [
        address["address"]
        for node in nodes
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    ]
    assert found == [place.address for place in lab.machines.hosts]


def test_a_second_provision_changes_nothing(lab: StaticLab) -> None:
    again = lab.user.json("provision", "--yes", "--full", "--progress", "plain")
    assert again["verify"]["ok"]
    assert again["changed"] == {"m-k8s": 0, "w1-k8s": 0}


def test_the_lab_is_on_the_machines(lab: StaticLab) -> None:
    # Or what destroy takes off would not be found missing.
    for index in range(2):
        there = lab.machines.owner(index, f"sudo sh -c 'ls -d {LABS_OWN} 2>/dev/null'").split()
        assert {"/home/vagrant/.ssh/labctl_nodes", "/etc/kubernetes/kubelet.conf", "/root/.ssh/labctl_nodes"} <= set(
            there
        )
    assert lab.machines.owner(0, "ssh -o BatchMode=yes w1-k8s hostname") == "w1-k8s"


def test_destroy_takes_kubernetes_and_the_lab_off_and_leaves_the_machines(lab: StaticLab) -> None:
    done = lab.user.run("destroy", "--yes", timeout=300)
    assert done.returncode == 0, done.stderr
    assert not (lab.user.home / ".labctl").exists()
    for index in range(2):
        assert lab.machines.owner(index, "systemctl is-active kubelet") in ("inactive", "failed")
        assert lab.machines.owner(index, "systemctl is-enabled kubelet") == "disabled"
        assert lab.machines.owner(index, "sudo docker ps --quiet") == ""
        assert lab.machines.owner(index, f"sudo sh -c 'ls -d {LABS_OWN} 2>/dev/null'") == ""
        assert lab.machines.owner(index, "grep -c . ~/.ssh/authorized_keys") == "1"
        assert lab.machines.owner(index, "sudo cat /root/.ssh/authorized_keys /etc/ssh/ssh_known_hosts") == ""
        assert lab.machines.owner(index, "grep k8s /etc/hosts") == lab.hosts_before[index]


def test_a_kubeconfig_of_the_machines_owner_stays(lab: StaticLab) -> None:
    assert lab.machines.owner(1, "cat ~/.kube/config") == "of another cluster"
