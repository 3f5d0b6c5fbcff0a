"""Machines that are there already: taken from lab.yml as written, recognised by their host key, planned like others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.errors import ProviderError, SpecError
from orchestrator.model import Node, Plan, StaticHost
from orchestrator.observed import Observed, ProviderState, TakenNetwork
from orchestrator.plan import plan as make_plan
from orchestrator.providers import registry, ssh_access
from orchestrator.providers.static import provider as static

PRINT = "SHA256:" + "A" * 43
LAB = f"""version: 1
provider: static
network: {{subnet: 10.0.0.0/24}}
workers: {{count: 1}}
static:
  gateway: 10.0.0.5
  key: ~/.ssh/lab
  hosts:
    - kim@10.0.0.11 {PRINT}
    - vagrant@10.0.0.12:2222 {PRINT}
"""


@pytest.fixture
def planned(observe: Callable[..., Observed], tmp_path: Path) -> Callable[[str], Plan]:
    def make(text: str) -> Plan:
        file = tmp_path / "lab.yml"
        file.write_text(text, encoding="utf-8")
        there = TakenNetwork("10.0.0.0/24", "interface eth0 of this host")
        observed = observe(providers=(ProviderState("static", ready=True, only_named="named"),), networks=(there,))
        return make_plan(spec.load(file), catalog.load(), observed)

    return make


def test_the_nodes_are_the_listed_machines_at_their_own_addresses(planned: Callable[[str], Plan]) -> None:
    plan = planned(LAB)
    assert [(node.name, node.address, node.ssh_port) for node in plan.nodes] == [
        ("m-k8s", "10.0.0.11", 22),
        ("w1-k8s", "10.0.0.12", 2222),
    ]
    assert plan.static_hosts[1] == StaticHost("vagrant", "10.0.0.12", 2222, PRINT)
    assert plan.network.gateway == "10.0.0.5"
    assert plan.static_key == "~/.ssh/lab"
    assert [registry.ssh_endpoint(plan, node) for node in plan.nodes] == [
        ("kim", "10.0.0.11", 22),
        ("vagrant", "10.0.0.12", 2222),
    ]
    assert Plan.from_json(plan.as_json()) == plan


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        (("count: 1", "count: 3"), "2 machines are listed, the lab has 4", "count: 1"),
        (("10.0.0.12:2222", "10.0.0.11"), "10.0.0.11 is listed twice", "once"),
        (("10.0.0.0/24", "192.168.56.0/24"), "is outside the machines' network", "network that the machines share"),
        (("10.0.0.0/24", "auto"), "`auto` cannot know", "10.0.0.0/24"),
        ((f"kim@10.0.0.11 {PRINT}", "kim@10.0.0.11"), "is not `USER@ADDRESS[:PORT] FINGERPRINT`", "ssh-keygen -lf"),
        (("kim@10.0.0.11", "kim@10.0.0.311"), "is not an IPv4 address", "1.1.1.1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(
    planned: Callable[[str], Plan], change: tuple[str, str], what: str, fix: str
) -> None:
    with pytest.raises(SpecError) as caught:
        planned(LAB.replace(*change))
    problems = caught.value.problems
    assert any(what in problem.what and fix in problem.fix for problem in problems), problems


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    assert static.fingerprint(key) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def test_the_keys_of_a_scan_are_read_without_its_comments() -> None:
    text = "# 10.0.0.11:22 SSH-2.0-OpenSSH\n[10.0.0.11]:2222 ssh-ed25519 AAAA\n10.0.0.11 ssh-rsa BBBB\n"
    assert ssh_access.host_keys_in(text) == ("ssh-ed25519 AAAA", "ssh-rsa BBBB")


def test_containers_that_are_listed_as_such_keep_what_is_their_hosts(planned: Callable[[str], Plan]) -> None:
    plan = planned(LAB.replace("static:\n", "static:\n  shared_kernel: true\n"))
    assert plan.kubernetes is not None
    assert plan.kubernetes.cgroup_driver == "cgroupfs"  # this host has control groups of version 1
    able = static.StaticProvider().capabilities(plan)
    assert (able.own_swap, able.own_modules, able.selinux, able.own_conntrack_limits) == (False,) * 4
    assert able.reasons["own_swap"] == "the machines are containers and share their host's kernel: swap is the host's"
    assert not able.snapshot
    assert Plan.from_json(plan.as_json()) == plan


def test_machines_that_are_listed_own_all_that_is_theirs(planned: Callable[[str], Plan]) -> None:
    plan = planned(LAB)
    assert plan.kubernetes is not None
    assert plan.kubernetes.cgroup_driver == "systemd"
    able = static.StaticProvider().capabilities(plan)
    assert (able.own_swap, able.own_modules, able.selinux, able.own_conntrack_limits) == (True,) * 4


@pytest.mark.parametrize(
    ("kind", "shared", "what", "fix"),
    [
        ("docker", False, r"w1-k8s is a container \(docker\): swap, modules and SELinux", "{shared_kernel: true}"),
        ("none", True, "w1-k8s has a kernel of its own, and lab.yml says", "{shared_kernel: false}"),
        ("", False, "w1-k8s does not say whether it is a container: it has no systemd", "that run systemd"),
    ],
)
def test_a_machine_of_another_kind_than_listed_is_refused(
    planned: Callable[[str], Plan], kind: str, shared: bool, what: str, fix: str
) -> None:
    plan = replace(planned(LAB), static_shared_kernel=shared)
    with pytest.raises(ProviderError, match=what) as refused:
        static.refuse_other_kind(Node("w1-k8s", "running"), kind, plan)
    assert fix in (refused.value.fix or "")


def test_the_teardown_script_is_one_piece_because_the_key_that_let_it_in_is_gone_then(
    planned: Callable[[str], Plan],
) -> None:
    script = static.teardown_script("kim", "ssh-ed25519 AAAA+/= labctl mine", planned(LAB))
    assert script.startswith("set -- kim AAAA+/=\nCRI_SOCKET=/var/run/dockershim.sock\n")
    assert script.index("authorized_keys") < script.index("kubeadm reset")
