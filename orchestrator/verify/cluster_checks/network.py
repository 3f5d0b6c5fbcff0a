"""Checks of the pod network: pods reach each other across every pair of nodes, and through a Service."""

from __future__ import annotations

import ipaddress

import pytest

from orchestrator.verify.cluster import Cluster
from orchestrator.verify.workload import Workload

SEES = ("workload.exec",)


@pytest.mark.check(id="network.pod_addresses", layer="network", remedy="labctl provision", after=("control_plane.api",))
def test_pod_addresses(cluster: Cluster, workload: Workload) -> None:
    """Pods get addresses of the planned pod network."""
    if not cluster.target.pod_cidr:
        pytest.skip("not applicable: the plan names no pod network")
    network = ipaddress.ip_network(cluster.target.pod_cidr)
    wrong = [
        f"{pod.address} on {pod.node}" for pod in workload.pods if ipaddress.ip_address(pod.address) not in network
    ]
    assert not wrong, f"not in {network}: {', '.join(wrong)}"


@pytest.mark.check(id="network.pod_to_pod", layer="network", remedy="labctl provision", after=SEES)
def test_pod_to_pod(workload: Workload) -> None:
    """Every pod reaches every other pod, across every pair of nodes."""
    names = {pod.address: pod for pod in workload.pods}
    cut = []
    for pod in workload.pods:
        answers = dict(line.partition(" ")[::2] for line in workload.seen[pod.node].of("pod"))
        cut += [
            f"{pod.node} -> {other.node} ({address})"
            for address, other in names.items()
            if answers.get(address, "") != other.name
        ]
    assert not cut, f"no answer within 4 s: {', '.join(cut)}"


@pytest.mark.check(
    id="network.pod_to_service",
    layer="network",
    remedy="kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",
    after=SEES,
)
def test_pod_to_service(workload: Workload) -> None:
    """Pods on every node reach a Service by its cluster IP."""
    pods = {pod.name for pod in workload.pods}
    wrong = []
    for pod in workload.pods:
        calls = workload.seen[pod.node].of("service")
        lost = len([answer for answer in calls if answer not in pods])
        if lost or not calls:
            wrong.append(f"{pod.node}: {lost} of {len(calls)} calls got no answer")
    assert not wrong, f"{workload.service_address}: {'; '.join(wrong)}"


@pytest.mark.check(
    id="network.service_spread",
    layer="network",
    remedy="kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",
    after=("network.pod_to_service",),
)
def test_service_spread(workload: Workload) -> None:
    """A Service spreads its calls over the pods."""
    if len(workload.pods) < 2:
        pytest.skip("not applicable: one node, one pod")
    answered = {answer for seen in workload.seen.values() for answer in seen.of("service")}
    silent = [pod.node for pod in workload.pods if pod.name not in answered]
    assert not silent, f"no call of any pod was answered from {', '.join(silent)}"


@pytest.mark.check(id="network.node_to_pod", layer="network", remedy="labctl provision", after=("control_plane.api",))
def test_node_to_pod(workload: Workload) -> None:
    """The control plane's machine reaches the pods of every node."""
    cut = workload.silent_from_node()
    assert not cut, f"no answer within 4 s from the pods on {', '.join(cut)}"
