"""How a lab looks in Docker, and what stands in the way of one, over plain data."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.capabilities import CAPABILITIES
from orchestrator.host import HostNetwork
from orchestrator.host_access import Forward, Mount
from orchestrator.model import KubernetesPlan, NetworkPlan, Node, NodePlan, Plan, SourcePlan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.base import LabIdentity, identity
from orchestrator.providers.conflicts import folder_problems, overlap_problems
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container import preflight
from orchestrator.providers.container import reach as container_reach

KUBERNETES = KubernetesPlan(
    version="1.20.2",
    config_api="kubeadm.k8s.io/v1beta2",
    runtime="docker",
    cri_socket="/var/run/dockershim.sock",
    cgroup_driver="systemd",
    image_registry="registry.k8s.io",
    pause_image="registry.k8s.io/pause:3.2",
    cni="bridge_cni",
    cni_version=None,
    dns="dnsmasq",
    api_port=6443,
    role_labels=(),
    taints=(),
    untaint_control_plane=False,
    extra_args_as_list=False,
)
PLAN = Plan(
    name="k8s-lab",
    uuid="01234567-89ab-cdef-0123-456789abcdef",
    owner="/home/reader/lab",
    profile="modern",
    provider="container",
    guest="debian-12",
    group="",
    nodes=(
        NodePlan("m-k8s", "control_plane", "192.168.56.10", 2, 3072, 60010, "m-k8s"),
        NodePlan("w1-k8s", "worker", "192.168.56.101", 1, 2560, 60101, "w1-k8s"),
    ),
    network=NetworkPlan(
        "192.168.56.0/24", "192.168.56.1", "172.16.0.0/16", "10.96.0.0/12", "10.96.0.10", "cluster.local", ()
    ),
    source=SourcePlan(bundle_id="b"),
    kubernetes=KUBERNETES,
    base_packages=(),
)
OLD_DIGEST = "676b3fd36e6d"


def test_every_object_carries_the_labs_identity() -> None:
    config = spec.container_config(PLAN, PLAN.nodes[0], "image", ["CHOWN"], "ssh-ed25519 AAAA")
    assert spec.lab_of(config["Labels"]) == LabIdentity("k8s-lab", PLAN.uuid, "/home/reader/lab")
    assert spec.lab_of(spec.network_arguments(PLAN)["labels"]) == identity(PLAN)
    assert config["Labels"]["labctl.node"] == "m-k8s"


def test_an_object_without_our_labels_is_nobodys_lab() -> None:
    assert spec.lab_of(None) is None
    assert spec.lab_of({"labctl.name": "k8s-lab"}) is None


def test_interface_names_fit_the_kernels_15_characters() -> None:
    assert len(spec.bridge(PLAN.uuid)) <= 15


def test_forwards_listen_on_the_loopback_address_only_and_the_api_only_on_the_control_plane() -> None:
    first = spec.host_config(PLAN, PLAN.nodes[0], [])["PortBindings"]
    assert first["22/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "60010"}]
    assert first["6443/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "6443"}]
    assert set(spec.host_config(PLAN, PLAN.nodes[1], [])["PortBindings"]) == {"22/tcp"}
    bare = replace(PLAN, kubernetes=None)
    assert set(spec.host_config(bare, bare.nodes[0], [])["PortBindings"]) == {"22/tcp"}


def test_cpus_and_memory_are_limits_without_extra_swap() -> None:
    limits = spec.limits(PLAN.nodes[1])
    assert limits["CpuQuota"] / limits["CpuPeriod"] == 1
    assert limits["Memory"] == limits["MemorySwap"] == 2560 * 2**20


def test_a_node_is_not_privileged_and_cannot_load_modules_or_set_the_clock() -> None:
    granted = spec.grantable((), 40, "28.0.1")
    assert len(granted) == len(CAPABILITIES.split()) - 2
    assert not {"SYS_MODULE", "SYS_TIME"} & set(granted)
    assert "Privileged" not in spec.host_config(PLAN, PLAN.nodes[0], granted)


def test_what_host_engine_or_kernel_do_not_have_is_not_asked_for() -> None:
    assert "SYS_RESOURCE" not in spec.grantable(("SYS_RESOURCE",), 40, "28.0.1")
    assert "BPF" in spec.grantable((), 40, "23.0.0")
    assert "BPF" not in spec.grantable((), 40, "20.10.24+dfsg1")
    assert "AUDIT_READ" not in spec.grantable((), 36, "28.0.1")


def test_only_what_a_living_container_cannot_change_makes_it_go() -> None:
    node = PLAN.nodes[1]
    same = spec.fixed_digest(PLAN, replace(node, cpus=2, memory=4096))
    assert same == spec.fixed_digest(PLAN, node)
    assert spec.fixed_digest(PLAN, replace(node, ssh_port=60102)) != same
    assert spec.fixed_digest(PLAN, replace(node, address="192.168.56.102")) != same


def test_the_labs_key_arrives_with_the_modes_sshd_insists_on() -> None:
    with tarfile.open(fileobj=io.BytesIO(spec.authorized_keys("ssh-ed25519 AAAA lab"))) as archive:
        found = {member.name: (member.mode, member.uid, member.gid) for member in archive.getmembers()}
        text = archive.extractfile("home/vagrant/.ssh/authorized_keys")
        assert text is not None
        assert text.read() == b"ssh-ed25519 AAAA lab\n"
    assert found == {"home/vagrant/.ssh": (0o700, 1000, 1000), "home/vagrant/.ssh/authorized_keys": (0o600, 1000, 1000)}


def test_the_host_key_is_put_in_for_root_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(spec.host_key_files(b"private", "ssh-ed25519 AAAA"))) as archive:
        assert [(member.mode, member.uid) for member in archive.getmembers()] == [(0o600, 0), (0o644, 0)]


@pytest.mark.parametrize(
    ("state", "told"), [("running", "running"), ("exited", "stopped"), ("paused", "stopped"), ("created", "broken")]
)
def test_a_node_is_reported_as_docker_lists_it(state: str, told: str) -> None:
    labels = spec.container_config(PLAN, PLAN.nodes[1], "image", [], "ssh-ed25519 AAAA")["Labels"]
    listed = [{"Labels": labels, "State": state, "Status": f"{state} 5 seconds ago"}]
    found = container_reach.reported(PLAN.nodes[1], listed)
    assert (found.state, found.ssh_port) == (told, 60101)
    assert found.host_keys == (("ssh-ed25519 AAAA",) if told == "running" else ())
    assert container_reach.reported(PLAN.nodes[0], listed).state == "missing"


def test_folders_are_bound_read_only_unless_they_are_writable_and_on_their_nodes_alone() -> None:
    mounts = (Mount("/home/r/data", "/data", ("m-k8s", "w1-k8s")), Mount("/home/r/out", "/out", ("w1-k8s",), True))
    plan = replace(PLAN, mounts=mounts)
    bound = [
        [one for one in spec.host_config(plan, node, ())["Mounts"] if one["Type"] == "bind"] for node in plan.nodes
    ]
    data = {"Type": "bind", "Source": "/home/r/data", "Target": "/data", "ReadOnly": True}
    assert bound == [[data], [data, {"Type": "bind", "Source": "/home/r/out", "Target": "/out", "ReadOnly": False}]]


def test_ports_are_published_beside_ssh_and_the_api_server() -> None:
    forwards = (Forward("w1-k8s", 22, 2222, "0.0.0.0"), Forward("w1-k8s", 30080, 8080, "127.0.0.1"))
    ports = spec.host_config(replace(PLAN, forwards=forwards), PLAN.nodes[1], ())["PortBindings"]
    assert ports == {
        "22/tcp": [{"HostIp": "127.0.0.1", "HostPort": "60101"}, {"HostIp": "0.0.0.0", "HostPort": "2222"}],
        "30080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
    }


def test_nodes_that_were_made_before_there_were_mounts_stay_and_a_mount_makes_another_node() -> None:
    # The value of a labctl without mounts: another one would make every existing node anew.
    assert spec.fixed_digest(PLAN, PLAN.nodes[1]) == OLD_DIGEST
    mounted = replace(PLAN, mounts=(Mount("/home/r/data", "/data", ("w1-k8s",)),))
    assert spec.fixed_digest(mounted, PLAN.nodes[1]) != OLD_DIGEST


def test_a_port_of_lab_yml_that_somebody_holds_is_named_with_its_address() -> None:
    plan = replace(PLAN, forwards=(Forward("w1-k8s", 30080, 8080, "127.0.0.1"),))
    (problem,) = preflight.port_problems(plan, set(), lambda port, address: port != 8080)
    assert problem.what == "port 8080 on 127.0.0.1, the forward to port 30080 of w1-k8s, is in use"
    assert problem.where == "ports"


def test_an_address_of_another_host_is_refused() -> None:
    plan = replace(PLAN, forwards=(Forward("w1-k8s", 30080, 8080, "198.51.100.7"),))
    (problem,) = preflight.port_problems(plan, set(), lambda port, address: address == "127.0.0.1")
    assert problem.what == "198.51.100.7 is no address of this host"
    assert "0.0.0.0" in problem.fix


def test_a_mounted_folder_that_is_gone_is_named_before_a_machine_starts(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    plan = replace(PLAN, mounts=tuple(Mount(str(path), "/data", ("w1-k8s",)) for path in (tmp_path, gone)))
    (problem,) = folder_problems(plan)
    assert (problem.what, problem.fix) == (f"{gone}, which is /data in nodes, is not there", f"mkdir -p {gone}")


def test_the_containers_configuration_is_json() -> None:
    assert json.dumps(spec.container_config(PLAN, PLAN.nodes[0], "image", ["CHOWN"], "ssh-ed25519 AAAA"))


def test_a_busy_port_is_named_with_its_holder_and_the_labs_own_is_not_busy() -> None:
    other = LabIdentity("other", "99", "/home/other")
    found = preflight.port_problems(PLAN, {60010}, lambda port, address: port == 6443, {60101: other})
    assert [problem.where for problem in found] == ["network.ssh_port_base"]
    assert "lab other of /home/other" in found[0].what
    assert "60101" in found[0].what


def test_every_busy_port_is_told_at_once() -> None:
    assert len(preflight.port_problems(PLAN, set(), lambda port, address: False, {})) == 3


def test_a_network_of_the_host_in_the_way_is_named_and_the_labs_own_bridge_is_not() -> None:
    bridge = spec.bridge(PLAN.uuid)
    own = HostNetwork(bridge, "192.168.56.0/24")
    assert overlap_problems(PLAN, [own, HostNetwork("eth0", "192.0.2.0/24")], own=bridge) == []
    found = overlap_problems(PLAN, [HostNetwork("tun0", "192.168.0.0/16")], own=bridge)
    assert "tun0" in found[0].what
    assert found[0].fix


@pytest.mark.parametrize(("memory", "disk", "problems"), [(8000, 20000, 0), (800, 20000, 1), (800, 100, 2)])
def test_memory_and_disk_that_are_short_are_both_told(memory: int, disk: int, problems: int) -> None:
    found = preflight.size_problems(
        nodes=4, with_kubernetes=True, memory_available=memory, disk_free=disk, disk_path="/var/lib/docker"
    )
    assert len(found) == problems


def test_a_lab_that_is_all_there_needs_no_more_room() -> None:
    assert not preflight.size_problems(nodes=0, with_kubernetes=True, memory_available=0, disk_free=0, disk_path="/")


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "rootless"),
        ({"SecurityOptions": ["name=userns"]}, "user ids"),
        ({"OSType": "windows"}, "Windows"),
        ({"MemoryLimit": False}, "memory cgroup"),
    ],
)
def test_an_engine_that_cannot_run_nodes_is_refused_with_its_reason(info: dict[str, object], said: str) -> None:
    assert said in preflight.engine_problems(info)[0].what


def test_an_ordinary_engine_is_no_problem() -> None:
    assert preflight.engine_problems({"SecurityOptions": ["name=seccomp,profile=default"], "MemoryLimit": True}) == []


def test_host_keys_are_pinned_to_the_forward_and_nothing_else_is_trusted(tmp_path: Path) -> None:
    node = Node("w1-k8s", "running", ssh_port=60101, host_keys=("ssh-ed25519 AAAA",))
    assert ssh_access.known_hosts([node]) == "[127.0.0.1]:60101 ssh-ed25519 AAAA\n"
    argv = ssh_access.ssh_argv(LabDir(tmp_path), node, command=["uptime"], shared=False)
    assert argv[:3] == ["ssh", "-F", "/dev/null"]
    assert {"StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "IdentityAgent=none"} <= set(argv)
    assert argv[-4:] == ["-p", "60101", "vagrant@127.0.0.1", "uptime"]
