"""When verify says that a lab has no pod network yet: its user installs it, and no node lacks anything else."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.checks.declarations import declared_checks
from orchestrator.verify.check_files import check_files
from orchestrator.verify.cluster import Cluster
from orchestrator.verify.cluster_checks import control_plane, pods
from orchestrator.verify.conditions import NOT_INSTALLED, awaits_network, none_installed
from orchestrator.verify.job import ClusterTarget

CONTAINERD = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
DOCKERSHIM = (
    "runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:docker: network plugin is not ready: cni config uninitialized"
)
SILENT = "Kubelet stopped posting node status."


def node(message: str = "", status: str = "False", name: str = "m-k8s") -> dict[str, Any]:
    stated = {"type": "Ready", "status": status, "message": message}
    return {"kind": "Node", "metadata": {"name": name}, "spec": {}, "status": {"conditions": [stated]}}


WAITING, READY, DOWN = node(CONTAINERD), node("", "True", "w1-k8s"), node(SILENT, "Unknown", "w2-k8s")


def system_pod(name: str, *, own_network: bool, phase: str = "Pending") -> dict[str, Any]:
    spec = {} if own_network else {"hostNetwork": True}
    metadata = {"name": name, "namespace": "kube-system"}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


class Machine:
    """Stands for the control plane: these objects, and these files as configuration of a pod network."""

    def __init__(self, *objects: dict[str, Any], files: str = "") -> None:
        self.objects, self.files, self.asked = objects, files, 0

    def run(self, command: str, **_: Any) -> Any:
        self.asked += 1
        listed = self.files if "/etc/cni/net.d" in command else json.dumps({"items": self.objects})
        return SimpleNamespace(rc=0, stdout=listed, stderr="")


def cluster(*objects: dict[str, Any], cni: str = "none", files: str = "") -> Cluster:
    return Cluster(Machine(*objects, files=files), ClusterTarget("m-k8s", "1.37.2", {}, cni))


@pytest.mark.parametrize("message", [CONTAINERD, DOCKERSHIM])
def test_a_node_that_lacks_only_a_network_awaits_one(message: str) -> None:
    assert awaits_network(node(message))


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (f"[{CONTAINERD}, PLEG is not healthy]", "False"),
        ("container runtime is down", "False"),
        (CONTAINERD, "Unknown"),
        (SILENT, "Unknown"),
        ("", "True"),
    ],
)
def test_a_node_that_lacks_more_or_nothing_does_not_await_a_network(message: str, status: str) -> None:
    assert not awaits_network(node(message, status))


def test_a_node_that_never_reported_does_not_await_a_network() -> None:
    assert not awaits_network({"status": {}})


def test_no_network_is_installed_as_long_as_every_node_that_reports_lacks_it() -> None:
    assert none_installed([WAITING, node(DOCKERSHIM)])
    assert none_installed([WAITING, DOWN])


def test_a_network_is_installed_once_a_node_is_ready() -> None:
    assert not none_installed([WAITING, READY])


def test_nodes_that_are_all_silent_say_nothing_about_the_network() -> None:
    assert not none_installed([DOWN])
    assert not none_installed([])


def test_a_cluster_without_network_and_configuration_lacks_it() -> None:
    assert cluster(WAITING).lacks_pod_network()


def test_a_configuration_that_does_not_work_is_a_network_that_fails() -> None:
    assert not cluster(WAITING, files="10-own.conflist\n").lacks_pod_network()


def test_a_lab_whose_network_is_labctls_never_lacks_it_without_a_failure() -> None:
    made = cluster(WAITING, cni="bridge_cni")
    assert not made.lacks_pod_network()
    assert made.host.asked == 0


def test_nodes_need_not_be_ready_before_there_is_a_network() -> None:
    with pytest.raises(pytest.skip.Exception, match="no pod network is installed yet"):
        control_plane.test_nodes_ready(cluster(WAITING))


def test_a_silent_kubelet_fails_also_without_a_network() -> None:
    with pytest.raises(AssertionError) as failed:
        control_plane.test_nodes_ready(cluster(WAITING, DOWN))
    assert str(failed.value) == f"w2-k8s: {SILENT}"


def test_a_node_that_the_users_network_left_out_fails_and_is_named() -> None:
    with pytest.raises(AssertionError) as failed:
        control_plane.test_nodes_ready(cluster(WAITING, READY))
    assert str(failed.value) == f"m-k8s: {CONTAINERD}; install your pod network on it"


def test_a_missing_network_of_labctls_own_fails() -> None:
    with pytest.raises(AssertionError) as failed:
        control_plane.test_nodes_ready(cluster(WAITING, cni="bridge_cni"))
    assert str(failed.value) == f"m-k8s: {CONTAINERD}"


def test_system_pods_that_wait_for_a_network_are_not_failing() -> None:
    pods.test_system_pods(cluster(WAITING, system_pod("coredns", own_network=True)))


def test_system_pods_on_the_network_of_their_node_are_checked_without_a_pod_network() -> None:
    with pytest.raises(AssertionError, match="kube-proxy is Failed"):
        pods.test_system_pods(cluster(WAITING, system_pod("kube-proxy", own_network=False, phase="Failed")))


def test_system_pods_that_wait_although_there_is_a_network_are_failing() -> None:
    with pytest.raises(AssertionError, match="coredns is Pending"):
        pods.test_system_pods(cluster(READY, system_pod("coredns", own_network=True)))


def runs_on_the_control_plane(file: Path) -> bool:
    return file.parent.name == "cluster_checks" or declared_checks(file).when.get("group_names") == "control_plane"


def test_checks_that_need_a_pod_network_run_where_the_cluster_can_be_asked() -> None:
    files = check_files(with_cluster=True)
    needing = {file for file in files if any(check.pod_network for check in declared_checks(file).checks.values())}
    assert {file.stem for file in needing} == {"dns", "network", "workload", "test_cluster_dns"}
    assert all(map(runs_on_the_control_plane, needing))


def test_what_the_clusters_pods_do_on_a_node_is_looked_at_again_on_a_new_lab() -> None:
    checks = [check for file in check_files(with_cluster=True) for check in declared_checks(file).checks.values()]
    dns = {"cluster_dns.service", "cluster_dns.answers", "cluster_dns.replicas"}
    assert {check.id for check in checks if check.settles} == {*dns, "network_policy.running", "network.policy_chains"}


def test_every_check_that_uses_the_probe_workload_needs_a_pod_network() -> None:
    for file in (one for one in check_files(with_cluster=True) if one.parent.name == "cluster_checks"):
        text = file.read_text(encoding="utf-8")
        users = {name for name in declared_checks(file).checks if f"def {name}(" in text}
        users = {name for name in users if "workload" in text.partition(f"def {name}(")[2].partition(")")[0]}
        assert all(declared_checks(file).checks[name].pod_network for name in users)


def test_the_reason_names_the_key_of_lab_yml() -> None:
    assert NOT_INSTALLED == "no pod network is installed yet (kubernetes.cni: none)"
