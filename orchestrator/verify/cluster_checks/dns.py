"""Checks of the cluster's DNS: its pods and Service, and the names that pods look up."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from orchestrator.verify import corefile
from orchestrator.verify.cluster import Cluster, name_of, settles, state_of
from orchestrator.verify.conditions import ready
from orchestrator.verify.workload import Workload

# What a pod does whose CoreDNS ended.
_STOPPED = ("CrashLoopBackOff", "Error", "OOMKilled")
# Seconds in which a change of the ConfigMap comes into force: a kubelet takes up to one minute, CoreDNS up to one more.
_RELOAD_SECONDS = 150
# Seconds by which the clocks of nodes may differ: a pod that started so shortly before a change may have read it.
_SKEW = 10


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


@pytest.fixture(scope="module")
def configuration(cluster: Cluster) -> dict[str, Any]:
    """The ConfigMap coredns, empty when there is none."""
    if cluster.target.dns != "coredns":
        pytest.skip(f"not applicable: the lab's DNS server is {cluster.target.dns or 'not known'}")
    # `get -o json` leaves out when a field changed, and before 1.21 there is no option against that.
    listed = cluster.kubectl("get --raw /api/v1/namespaces/kube-system/configmaps/coredns").stdout
    return dict(json.loads(listed or "{}"))


def test_corefile(cluster: Cluster, configuration: dict[str, Any]) -> None:
    text = configuration.get("data", {}).get("Corefile", "")
    assert text, "the ConfigMap coredns, or the Corefile in it, is missing"
    problems = corefile.problems(text, cluster.target.dns_domain, cluster.target.dns_address)
    assert not problems, f"Corefile: {'; '.join(problems)}"


def changed_at(configuration: dict[str, Any]) -> float:
    """When the data of a ConfigMap changed last, in seconds since the epoch."""
    fields = configuration["metadata"].get("managedFields", [])
    times = [_seconds(one["time"]) for one in fields if "f:data" in one.get("fieldsV1", {}) and "time" in one]
    return max(times, default=_seconds(configuration["metadata"]["creationTimestamp"]))


def started_at(pod: dict[str, Any]) -> float:
    """When the container of a pod started, in seconds since the epoch; one that does not run has read nothing old."""
    states = [one.get("state", {}) for one in pod["status"].get("containerStatuses", [])]
    return min((_seconds(one["running"]["startedAt"]) for one in states if "running" in one), default=float("inf"))


def _seconds(time: str) -> float:
    return datetime.datetime.fromisoformat(time).timestamp()


def test_corefile_loaded(cluster: Cluster, configuration: dict[str, Any]) -> None:
    changed = changed_at(configuration)
    older = [name_of(pod) for pod in cluster.pods(k8s_app="kube-dns") if started_at(pod) + _SKEW < changed]
    if not older or float(cluster.shell("date +%s").stdout) < changed + _RELOAD_SECONDS:
        return
    since = datetime.datetime.fromtimestamp(changed, tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    logs = {name: cluster.answer(f"-n kube-system logs {name} --since-time={since}") for name in older}
    stale = [name for name, log in logs.items() if "Running configuration" not in log]
    assert not stale, f"{', '.join(stale)} did not load the Corefile that was changed at {since}"


@pytest.mark.usefixtures("configuration")
@settles
def test_stopping(cluster: Cluster) -> str:
    stopped = [pod for pod in cluster.pods(k8s_app="kube-dns") if state_of(pod) in _STOPPED]
    return "\n".join(f"{name_of(pod)} is {state_of(pod)}: {_last_words(cluster, name_of(pod))}" for pod in stopped)


def _last_words(cluster: Cluster, pod: str) -> str:
    """Why CoreDNS ended, from the log of its last container."""
    return reason_of_end(cluster.kubectl(f"-n kube-system logs {pod} --previous --tail=20").stdout)


def reason_of_end(log: str) -> str:
    """The line of CoreDNS' log that says why it ended."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    loop = next((line for line in lines if "plugin/loop: Loop" in line), "")
    return f"Loop detected, what it forwards comes back to it: {loop}" if loop else (lines or ["it left no log"])[-1]


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
