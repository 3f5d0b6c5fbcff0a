"""Checks of the cluster's DNS: its pods and Service, and the names that pods look up."""

from __future__ import annotations

import pytest

from orchestrator.verify.cluster import Cluster, name_of, settles
from orchestrator.verify.conditions import ready
from orchestrator.verify.workload import Workload


@settles
def test_pods(cluster: Cluster) -> str:
    running = [name_of(pod) for pod in cluster.pods(k8s_app="kube-dns") if ready(pod)]
    return "" if len(running) >= 2 else f"{len(running)} of 2 DNS servers are ready"


@settles
def test_service(cluster: Cluster) -> str:
    services = [one for one in cluster.objects("Service") if name_of(one) == "kube-dns"]
    if not services:
        return "there is no Service kube-dns"
    address = services[0]["spec"].get("clusterIP")
    if cluster.target.dns_address and address != cluster.target.dns_address:
        return f"its address is {address}; the kubelets tell every pod {cluster.target.dns_address}"
    endpoints = [one for one in cluster.objects("Endpoints") if name_of(one) == "kube-dns"]
    has_addresses = any(subset.get("addresses") for one in endpoints for subset in one.get("subsets", []))
    return "" if has_addresses else "no server is behind its address"


def _compare(workload: Workload, kind: str, expected: list[str]) -> list[str]:
    """What pods looked up that differs from the expected addresses, as `NODE: ADDRESSES`."""
    answers = {pod.node: sorted(" ".join(workload.observed(kind, pod.node)).split()) for pod in workload.pods}
    return [
        f"{node}: {', '.join(addresses) or 'no answer'}"
        for node, addresses in answers.items()
        if addresses != sorted(expected)
    ]


def test_resolver(cluster: Cluster, workload: Workload) -> None:
    expected = cluster.target.dns_address
    if not expected:
        pytest.skip("not applicable: the plan names no DNS address")
    wrong = _compare(workload, "resolver", [expected])
    assert not wrong, f"resolvers of pods instead of {expected}: {'; '.join(wrong)}"


def test_service_name(workload: Workload) -> None:
    wrong = _compare(workload, "full", [workload.service_address])
    assert not wrong, f"instead of {workload.service_address}: {'; '.join(wrong)}"


def test_short_name(workload: Workload) -> None:
    pods = {pod.name for pod in workload.pods}
    silent = [pod.node for pod in workload.pods if not pods.intersection(workload.observed("named", pod.node))]
    assert not silent, f"http://whoami/ gives no answer in the pods on {', '.join(silent)}"


def test_headless(workload: Workload) -> None:
    wrong = _compare(workload, "headless", [pod.address for pod in workload.pods])
    assert not wrong, f"not the pods' addresses: {'; '.join(wrong)}"


def test_kubernetes(cluster: Cluster, workload: Workload) -> None:
    expected = [
        one["spec"]["clusterIP"]
        for one in cluster.objects("Service")
        if name_of(one) == "kubernetes" and one["metadata"]["namespace"] == "default"
    ]
    wrong = _compare(workload, "api", expected)
    assert not wrong, f"instead of {expected}: {'; '.join(wrong)}"
