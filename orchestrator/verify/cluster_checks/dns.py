"""Checks of the cluster's DNS: its pods and Service, and the names that pods look up."""

from __future__ import annotations

import pytest

from orchestrator.verify.cluster import Cluster, name_of, ready
from orchestrator.verify.workload import Workload

SEES = ("workload.exec", "dns.pods")
_LOOK = "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide"


@pytest.mark.check(id="dns.pods", layer="dns", remedy=_LOOK, after=("control_plane.api",))
def test_pods(cluster: Cluster) -> None:
    """Two DNS servers are ready behind the cluster's DNS address."""

    def look() -> str:
        running = [name_of(pod) for pod in cluster.pods(k8s_app="kube-dns") if ready(pod)]
        return "" if len(running) >= 2 else f"{len(running)} of 2 DNS servers are ready"

    cluster.settled(look)


@pytest.mark.check(
    id="dns.service",
    layer="dns",
    remedy="kubectl -n kube-system get service,endpoints kube-dns",
    after=("control_plane.api",),
)
def test_service(cluster: Cluster) -> None:
    """The DNS Service has the planned address and servers behind it."""

    def look() -> str:
        services = [one for one in cluster.objects("Service") if name_of(one) == "kube-dns"]
        if not services:
            return "there is no Service kube-dns"
        address = services[0]["spec"].get("clusterIP")
        if cluster.target.dns_address and address != cluster.target.dns_address:
            return f"its address is {address}; the kubelets tell every pod {cluster.target.dns_address}"
        ends = [one for one in cluster.objects("Endpoints") if name_of(one) == "kube-dns"]
        behind = [
            address for one in ends for subset in one.get("subsets", []) for address in subset.get("addresses", [])
        ]
        return "" if behind else "no server is behind its address"

    cluster.settled(look)


def _lookups(workload: Workload, kind: str) -> dict[str, list[str]]:
    return {node: " ".join(seen.of(kind)).split() for node, seen in workload.seen.items()}


@pytest.mark.check(id="dns.resolver", layer="dns", remedy="labctl provision", after=("workload.exec",))
def test_resolver(cluster: Cluster, workload: Workload) -> None:
    """Pods ask the cluster's DNS address."""
    if not cluster.target.dns_address:
        pytest.skip("not applicable: the plan names no DNS address")
    wrong = [
        f"{node}: {', '.join(found) or 'none'}"
        for node, found in _lookups(workload, "resolver").items()
        if found != [cluster.target.dns_address]
    ]
    assert not wrong, f"resolvers of pods instead of {cluster.target.dns_address}: {'; '.join(wrong)}"


@pytest.mark.check(id="dns.service_name", layer="dns", remedy=_LOOK, after=SEES)
def test_service_name(workload: Workload) -> None:
    """Pods on every node look up a Service by its full name."""
    wrong = [
        f"{node}: {', '.join(found) or 'no answer'}"
        for node, found in _lookups(workload, "full").items()
        if found != [workload.service_address]
    ]
    assert not wrong, f"instead of {workload.service_address}: {'; '.join(wrong)}"


@pytest.mark.check(id="dns.short_name", layer="dns", remedy=_LOOK, after=("dns.service_name",))
def test_short_name(workload: Workload) -> None:
    """Pods on every node reach a Service by its short name."""
    pods = {pod.name for pod in workload.pods}
    wrong = [node for node, found in _lookups(workload, "named").items() if not pods.intersection(found)]
    assert not wrong, f"http://whoami/ gives no answer in the pods on {', '.join(wrong)}"


@pytest.mark.check(id="dns.headless", layer="dns", remedy=_LOOK, after=("dns.service_name",))
def test_headless(workload: Workload) -> None:
    """A headless Service resolves to the addresses of its pods."""
    wanted = sorted(pod.address for pod in workload.pods)
    wrong = [node for node, found in _lookups(workload, "headless").items() if sorted(found) != wanted]
    assert not wrong, f"not the pods' addresses on {', '.join(wrong)}"


@pytest.mark.check(id="dns.kubernetes", layer="dns", remedy=_LOOK, after=SEES)
def test_kubernetes(cluster: Cluster, workload: Workload) -> None:
    """The name of the API server's Service resolves to its cluster IP."""
    wanted = [
        one["spec"]["clusterIP"]
        for one in cluster.objects("Service")
        if name_of(one) == "kubernetes" and one["metadata"]["namespace"] == "default"
    ]
    wrong = [
        f"{node}: {', '.join(found) or 'no answer'}"
        for node, found in _lookups(workload, "api").items()
        if found != wanted
    ]
    assert not wrong, f"instead of {wanted}: {'; '.join(wrong)}"
