"""Container nodes for real: made, reached, repaired, refused, removed without a trace."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import host, paths, proc
from orchestrator.errors import HostError, ProviderError
from orchestrator.events import Event, Step, discard
from orchestrator.model import NetworkPlan, Node, NodePlan, Plan, SourcePlan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.base import identity
from orchestrator.providers.container import engine
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container.provider import ContainerProvider
from orchestrator.providers.without_systemd import private_engine
from orchestrator.providers.without_systemd.daemon import start_time
from tests import host_state

pytestmark = pytest.mark.real


def free_ports(count: int, start: int) -> list[int]:
    return [port for port in range(start, start + 500) if host.port_is_free(port)][:count]


def bare_plan(owner: Path, name: str, subnet: str, port: int, workers: int = 1) -> Plan:
    first, *others = free_ports(1 + workers, port)
    prefix = subnet.rsplit(".", 1)[0]
    return Plan(
        name=name,
        uuid=str(uuid.uuid4()),
        owner=str(owner),
        profile="bare",
        provider="container",
        guest="debian-12",
        group="",
        nodes=(
            NodePlan("m-k8s", "control_plane", f"{prefix}.10", 2, 512, first, "m-k8s"),
            *(
                NodePlan(f"w{i}-k8s", "worker", f"{prefix}.{100 + i}", 1, 256, free, f"w{i}-k8s")
                for i, free in enumerate(others, start=1)
            ),
        ),
        network=NetworkPlan(f"{subnet}/24", f"{prefix}.1", "172.16.0.0/16", "10.96.0.0/12", "", "", ()),
        source=SourcePlan(bundle_id="b"),
        kubernetes=None,
        base_packages=(),
    )


@dataclass
class Lab:
    plan: Plan
    directory: LabDir
    provider: ContainerProvider

    def create(self) -> list[Step]:
        """Create, and return the steps that told of a change."""
        steps: list[Event] = []
        self.provider.create(self.plan, self.directory, steps.append, "create")
        return [step for step in steps if isinstance(step, Step) and step.status == "changed"]

    def ssh(self, node: str, command: str) -> str:
        found = next(item for item in self.provider.nodes(self.plan) if item.name == node)
        return proc.run(ssh_access.ssh_argv(self.directory, found, command=[command])).stdout.strip()

    @property
    def api(self) -> Any:
        return self.provider._api

    def container(self, node: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, node))[0]
        return found


@pytest.fixture(scope="module")
def before() -> dict[str, list[str]] | None:
    """The host before the first lab; None when an engine with other people's things runs already."""
    return host_state.snapshot() if engine.running() is None else None


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, before: dict[str, list[str]] | None) -> Iterator[Lab]:
    owner = tmp_path_factory.mktemp("owner")
    plan = bare_plan(owner, "nodes", "192.168.250.0", 62500)
    directory = LabDir.beside(owner / "lab.yml", plan.name)
    directory.create()
    made = Lab(plan, directory, ContainerProvider())
    try:
        assert made.provider.preflight(plan) == []
        made.create()
        yield made
    finally:
        made.provider.destroy(identity(plan), discard, "destroy")
        made.provider.close(discard, "destroy")


def test_the_labs_key_opens_every_node_as_vagrant_who_may_become_root(lab: Lab) -> None:
    for node in lab.plan.nodes:
        assert lab.ssh(node.name, "id -un; sudo -n id -un").split() == ["vagrant", "root"]


def test_host_name_and_address_are_the_plans(lab: Lab) -> None:
    for node in lab.plan.nodes:
        name, addresses = lab.ssh(node.name, "hostname; hostname -I").splitlines()
        assert (name, addresses.split()) == (node.name, [node.address])


def test_nodes_reach_each_other(lab: Lab) -> None:
    lab.ssh("m-k8s", f"ping -c 1 -W 5 {lab.plan.workers[0].address}")


def test_systemd_is_up_with_nothing_failed(lab: Lab) -> None:
    assert lab.ssh("w1-k8s", "systemctl is-system-running --wait") == "running"


def test_a_password_or_another_key_does_not_open_a_node(lab: Lab, tmp_path: Path) -> None:
    other = LabDir.beside(tmp_path / "lab.yml", "other")
    other.create()
    ssh_access.ensure_key(other)
    nodes = lab.provider.nodes(lab.plan)
    ssh_access.write_known_hosts(other, nodes)
    refused = proc.run(ssh_access.ssh_argv(other, nodes[0], command=["true"], shared=False), check=False)
    assert "Permission denied (publickey)" in refused.stderr


def test_a_node_with_another_host_key_is_not_trusted(lab: Lab) -> None:
    node = lab.provider.nodes(lab.plan)[0]
    kept = lab.directory.known_hosts.read_text()
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGKkYFJ2WOsKLBGmLtAWyT9dQ1s1yMEDxCnkoc+Yb2eq"
    ssh_access.write_known_hosts(lab.directory, [replace(node, host_keys=(key,))])
    refused = proc.run(ssh_access.ssh_argv(lab.directory, node, command=["true"], shared=False), check=False)
    lab.directory.known_hosts.write_text(kept)
    assert not refused.ok
    assert "Host key verification failed" in refused.stderr


def test_nodes_have_no_container_runtime_no_kubernetes_and_no_package_source(lab: Lab) -> None:
    installed = lab.ssh("m-k8s", "dpkg-query -W -f '${Package}\\n'").split()
    assert "openssh-server" in installed
    for part in ("docker", "containerd", "runc", "cni", "kube", "cri-"):
        assert [name for name in installed if part in name] == []
    assert lab.ssh("m-k8s", "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true") == ""


def test_the_limits_are_those_of_the_plan(lab: Lab) -> None:
    found = lab.api.inspect_container(lab.container("w1-k8s")["Id"])["HostConfig"]
    assert found["Memory"] == found["MemorySwap"] == 256 * 2**20
    assert found["CpuQuota"] == found["CpuPeriod"]


def test_a_node_cannot_change_the_hosts_kernel(lab: Lab) -> None:
    names = ("vm/overcommit_memory", "vm/swappiness", "kernel/panic", "fs/file-max")
    here = [Path("/proc/sys", name).read_text() for name in names]
    assert lab.ssh("m-k8s", "cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic").split() == ["1", "10"]
    lab.ssh("m-k8s", f"for f in {' '.join(names)}; do echo 7 | sudo tee /proc/sys/$f; done || true")
    lab.ssh("m-k8s", "sudo modprobe dummy 2>/dev/null; sudo date -s 2001-01-01 2>/dev/null; true")
    assert [Path("/proc/sys", name).read_text() for name in names] == here
    assert lab.ssh("m-k8s", "date +%Y") != "2001"
    lab.ssh("m-k8s", "echo 1 | sudo tee /proc/sys/net/ipv4/ip_forward")  # its own network namespace


def test_hosts_and_resolver_files_can_be_replaced_as_on_any_machine(lab: Lab) -> None:
    script = "for f in hosts resolv.conf hostname; do sudo cp /etc/$f /etc/$f.new && sudo mv /etc/$f.new /etc/$f; done"
    lab.ssh("w1-k8s", script)


def test_creating_again_changes_nothing(lab: Lab) -> None:
    ids = [lab.container(node.name)["Id"] for node in lab.plan.nodes]
    assert lab.create() == []
    assert ids == [lab.container(node.name)["Id"] for node in lab.plan.nodes]


def test_other_limits_are_applied_to_the_living_node(lab: Lab) -> None:
    before = lab.container("w1-k8s")["Id"]
    planned = lab.plan
    lab.plan = replace(planned, nodes=(planned.nodes[0], replace(planned.nodes[1], cpus=2, memory=320)))
    assert [step.node for step in lab.create()] == ["w1-k8s"]
    assert lab.container("w1-k8s")["Id"] == before
    assert lab.api.inspect_container(before)["HostConfig"]["Memory"] == 320 * 2**20
    lab.plan = planned
    lab.create()


def test_a_killed_node_comes_back_with_what_was_on_it(lab: Lab) -> None:
    lab.ssh("w1-k8s", "echo kept | sudo tee /etc/kept; echo 192.0.2.9 extra | sudo tee -a /etc/hosts")
    key = lab.provider.nodes(lab.plan)[1].host_keys
    lab.api.kill(lab.container("w1-k8s")["Id"])
    assert {node.name: node.state for node in lab.provider.nodes(lab.plan)}["w1-k8s"] == "stopped"
    assert [step.node for step in lab.create()] == ["w1-k8s"]
    assert lab.ssh("w1-k8s", "cat /etc/kept; grep -c extra /etc/hosts").split() == ["kept", "1"]
    assert lab.provider.nodes(lab.plan)[1].host_keys == key


def test_a_removed_node_is_made_again_and_its_new_host_key_is_pinned(lab: Lab) -> None:
    lab.api.remove_container(lab.container("w1-k8s")["Id"], force=True, v=True)
    assert {node.name: node.state for node in lab.provider.nodes(lab.plan)}["w1-k8s"] == "missing"
    lab.create()
    assert lab.ssh("w1-k8s", "hostname") == "w1-k8s"


def test_a_node_that_was_only_half_made_is_made_anew(lab: Lab) -> None:
    lab.api.remove_container(lab.container("w1-k8s")["Id"], force=True)
    config = spec.container_config(lab.plan, lab.plan.nodes[1], "labctl-no-such-image", [], "")
    config["Image"] = lab.api.inspect_container(lab.container("m-k8s")["Id"])["Config"]["Image"]
    lab.api.create_container_from_config(config, name=spec.container_name(lab.plan, "w1-k8s"))
    lab.create()
    assert lab.ssh("w1-k8s", "hostname") == "w1-k8s"


def test_a_node_that_lost_the_labs_key_gets_it_again(lab: Lab) -> None:
    lab.ssh("w1-k8s", "rm ~/.ssh/authorized_keys")
    ssh_access.end_shared("vagrant", lab.plan.nodes[1].ssh_port)
    lab.create()
    assert lab.ssh("w1-k8s", "hostname") == "w1-k8s"


def test_nodes_stop_and_start_as_machines(lab: Lab) -> None:
    lab.provider.halt(lab.plan, discard, "halt")
    assert {node.state for node in lab.provider.nodes(lab.plan)} == {"stopped"}
    codes = {lab.api.inspect_container(lab.container(node.name)["Id"])["State"]["ExitCode"] for node in lab.plan.nodes}
    assert codes <= {0, 130}, "systemd shut down by itself, nobody had to kill it"
    lab.provider.start(lab.plan, lab.directory, discard, "start")
    assert lab.ssh("m-k8s", "hostname") == "m-k8s"


def test_a_second_lab_of_the_same_name_lives_beside_the_first(lab: Lab, tmp_path: Path) -> None:
    plan = bare_plan(tmp_path, lab.plan.name, "192.168.251.0", 62700)
    plan = replace(plan, nodes=plan.nodes[:1])
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    directory.create()
    second = Lab(plan, directory, ContainerProvider())
    try:
        second.create()
        assert second.ssh("m-k8s", "hostname -I") == "192.168.251.10"
        assert {lab.plan.uuid, plan.uuid} <= {found.uuid for found in second.provider.find_labs()}
    finally:
        second.provider.destroy(identity(plan), discard, "destroy")
        second.provider.close(discard, "destroy")
    assert lab.ssh("m-k8s", "hostname") == "m-k8s"
    assert plan.uuid not in {found.uuid for found in lab.provider.find_labs()}


def test_foreign_objects_with_the_labs_names_are_refused_and_left_alone(lab: Lab, tmp_path: Path) -> None:
    plan = bare_plan(tmp_path, "foreign", "192.168.252.0", 62800)
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    directory.create()
    image = lab.api.inspect_container(lab.container("m-k8s")["Id"])["Config"]["Image"]
    network = lab.api.create_network(spec.network_name(plan), driver="bridge")["Id"]
    made = lab.api.create_container(image, name=spec.container_name(plan, "m-k8s"))["Id"]
    provider = ContainerProvider()
    try:
        told = [problem.what for problem in provider.preflight(plan)]
        assert any("the container" in text and "somebody else" in text for text in told)
        assert any("the network" in text for text in told)
        with pytest.raises(ProviderError, match="left alone"):
            provider.create(plan, directory, discard, "create")
        provider.destroy(identity(plan), discard, "destroy")
        assert lab.api.inspect_container(made)["State"]["Status"] == "created"
        assert lab.api.inspect_network(network)["Id"] == network
    finally:
        provider.close(discard, "close")
        lab.api.remove_container(made, v=True)
        lab.api.remove_network(network)


def test_everything_in_the_way_is_told_at_once(lab: Lab, tmp_path: Path) -> None:
    clash = bare_plan(tmp_path, "clash", lab.plan.network.subnet.removesuffix("/24"), 62900)
    nodes = (replace(clash.nodes[0], ssh_port=lab.plan.nodes[0].ssh_port), *clash.nodes[1:])
    told = [str(problem) for problem in lab.provider.preflight(replace(clash, nodes=nodes))]
    assert any("overlaps" in text for text in told)
    assert any(f"is in use by lab {lab.plan.name}" in text for text in told)


def test_destroy_needs_only_the_labels_and_leaves_no_trace(lab: Lab, before: dict[str, list[str]] | None) -> None:
    found = next(found for found in lab.provider.find_labs() if found.uuid == lab.plan.uuid)
    assert found == identity(lab.plan)
    lab.provider.destroy(found, discard, "destroy")
    chosen = spec.selector(lab.plan.uuid)
    assert lab.api.containers(all=True, filters=chosen) == []
    assert lab.api.networks(filters=chosen) == []
    assert not lab.api.volumes(filters=chosen)["Volumes"]
    assert not Path("/sys/class/net", spec.bridge(lab.plan.uuid)).exists()
    lab.provider.destroy(found, discard, "destroy")
    lab.provider.close(discard, "destroy")
    if before is None:
        pytest.skip("an engine ran already: that ours leaves no trace can only be seen where it is the only one")
    assert host_state.differences(before, host_state.snapshot()) == []


@pytest.fixture
def no_engine() -> None:
    if os.geteuid() != 0 or engine.running() is not None:
        pytest.skip("only where no Docker engine runs and root may start one")


def test_an_engine_whose_starter_was_killed_is_found_again(no_engine: None) -> None:
    provider = ContainerProvider()
    opened = provider._open(discard, "prepare")
    own = private_engine.own()
    state = own.read_state()
    own.write_state({**state, "pid": None, "started": None})
    again = ContainerProvider()
    again._open(discard, "prepare")
    assert own.read_state()["pid"] == state["pid"]
    again.close(discard, "close")
    assert engine.answers(opened.url), "somebody still uses it"
    provider.close(discard, "close")
    assert start_time(state["pid"]) is None
    assert not own.directory.exists()


def test_an_engine_that_was_killed_leaves_no_trace_after_the_next_lab(no_engine: None) -> None:
    untouched = host_state.snapshot()
    provider = ContainerProvider()
    provider._open(discard, "prepare")
    pid = private_engine.own().read_state()["pid"]
    os.kill(pid, signal.SIGKILL)
    provider.close(discard, "close")
    second = ContainerProvider()
    second._open(discard, "prepare")
    second.close(discard, "close")
    assert host_state.differences(untouched, host_state.snapshot()) == []


def test_an_engine_that_cannot_start_says_why(no_engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "engine"
    bad.write_text("a file where a directory must be")
    monkeypatch.setattr(private_engine, "data_root", lambda: bad)
    with pytest.raises((HostError, OSError)) as refused:
        ContainerProvider().prepare(discard, "prepare")
    assert str(refused.value)


def test_a_missing_node_is_reported_as_missing(tmp_path: Path) -> None:
    plan = bare_plan(tmp_path, "nothing", "192.168.253.0", 63000)
    provider = ContainerProvider()
    found = provider.nodes(plan)
    provider.close(discard, "close")
    assert {node.state for node in found} == {"missing"}
    assert found[0] == Node("m-k8s", "missing", ssh_port=plan.nodes[0].ssh_port, detail=found[0].detail)
    assert paths.cache_dir().exists()
