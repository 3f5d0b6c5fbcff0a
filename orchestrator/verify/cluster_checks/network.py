"""Checks of the pod network: pods reach each other across every pair of nodes, and through a Service."""

from __future__ import annotations

import ipaddress

import pytest

from orchestrator.verify.cluster import Cluster
from orchestrator.verify.workload import Workload


def test_pod_addresses(cluster: Cluster, workload: Workload) -> None:
    if not cluster.target.pod_cidr:
        pytest.skip("not applicable: the plan names no pod network")
    network = ipaddress.ip_network(cluster.target.pod_cidr)
    wrong = [
        f"{pod.address} on {pod.node}" for pod in workload.pods if ipaddress.ip_address(pod.address) not in network
    ]
    assert not wrong, f"not in {network}: {', '.join(wrong)}"


def test_pod_to_pod(workload: Workload) -> None:
    names = {pod.address: pod for pod in workload.pods}
    cut = []
    for pod in workload.pods:
        answers = dict(line.partition(" ")[::2] for line in workload.observed("pod", pod.node))
        cut += [
            f"{pod.node} -> {other.node} ({address})"
            for address, other in names.items()
            if answers.get(address, "") != other.name
        ]
    assert not cut, f"no answer within 4 s: {', '.join(cut)}"


def test_pod_to_service(workload: Workload) -> None:
    pods = {pod.name for pod in workload.pods}
    wrong = []
    for pod in workload.pods:
        calls = workload.observed("service", pod.node)
        lost = len([answer for answer in calls if answer not in pods])
        if lost or not calls:
            wrong.append(f"{pod.node}: {lost} of {len(calls)} calls got no answer")
    assert not wrong, f"{workload.service_address}: {'; '.join(wrong)}"


def test_service_spread(workload: Workload) -> None:
    if len(workload.pods) < 2:
        pytest.skip("not applicable: one node, one pod")
    answered = {one.text for one in workload.observations if one.kind == "service"}
    silent = [pod.node for pod in workload.pods if pod.name not in answered]
    assert not silent, f"no call of any pod was answered from {', '.join(silent)}"


def test_node_to_pod(workload: Workload) -> None:
    cut = workload.unreachable_from_node()
    assert not cut, f"no answer within 4 s from the pods on {', '.join(cut)}"
