"""Checks of the control plane and of the cluster's nodes, as the API server tells them."""

from __future__ import annotations

import base64
import datetime
import json
import re
from typing import Any

import pytest

from orchestrator.verify.cluster import Cluster, name_of, settles, state_of
from orchestrator.verify.conditions import LEFT_OUT, NOT_INSTALLED, awaits_network, condition, ready

_OWN_TAINTS = ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane")
_LEASE_SECONDS = 60


@settles
def test_api(cluster: Cluster) -> str:
    return _health_problem(cluster, "/readyz")


@settles
def test_etcd_health(cluster: Cluster) -> str:
    return _health_problem(cluster, "/healthz/etcd")


def _health_problem(cluster: Cluster, path: str) -> str:
    """What a health endpoint of the API server reports; empty when it is healthy."""
    result = cluster.kubectl(f"get --raw '{path}'", limit=20)
    if result.rc == 0 and result.stdout.strip() == "ok":
        return ""
    text = f"{result.stdout}\n{result.stderr}"
    if failing := re.findall(r"\[-\](\S+) failed", text):
        return f"it answers, but reports as failed: {', '.join(failing)}"
    return ([line for line in text.splitlines() if line.strip()] or ["no answer"])[-1]


def test_node_names(cluster: Cluster) -> None:
    planned, registered = set(cluster.target.nodes), set(cluster.nodes())
    missing, extra = sorted(planned - registered), sorted(registered - planned)
    assert not missing, f"not in the cluster: {', '.join(missing)}"
    assert not extra, f"in the cluster but not in the plan: {', '.join(extra)}"


@settles
def test_nodes_ready(cluster: Cluster) -> str:
    unready = {name: node for name, node in cluster.nodes().items() if not ready(node)}
    if cluster.lacks_pod_network():
        unready = {name: node for name, node in unready.items() if not awaits_network(node)}
        if not unready:
            pytest.skip(f"not applicable: {NOT_INSTALLED}")
    own = f"; {LEFT_OUT}" if cluster.target.cni == "none" else ""
    return "\n".join(
        f"{name}: {condition(node, 'Ready').get('message', 'it has never reported')}{own * awaits_network(node)}"
        for name, node in unready.items()
    )


def test_nodes_schedulable(cluster: Cluster) -> None:
    cordoned = [name for name, node in cluster.nodes().items() if node["spec"].get("unschedulable")]
    assert not cordoned, f"cordoned: {', '.join(cordoned)}; no new pod is placed there"


def test_node_taints(cluster: Cluster) -> None:
    foreign = [
        f"{name} has {taint['key']}:{taint['effect']}"
        for name, node in cluster.nodes().items()
        for taint in node["spec"].get("taints", [])
        if taint["key"] not in _OWN_TAINTS and not taint["key"].startswith("node.kubernetes.io/")
    ]
    assert not foreign, "; ".join(foreign)


def test_node_pressure(cluster: Cluster) -> None:
    short = [
        f"{name}: {kind}: {condition(node, kind).get('message', '')}"
        for name, node in cluster.nodes().items()
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
        if condition(node, kind).get("status") == "True"
    ]
    assert not short, "\n".join(short)


def test_node_versions(cluster: Cluster) -> None:
    planned = f"v{cluster.target.version}"
    versions = {name: node["status"]["nodeInfo"]["kubeletVersion"] for name, node in _planned(cluster).items()}
    wrong = [f"{name} runs {version or 'nothing yet'}" for name, version in versions.items() if version != planned]
    assert not wrong, f"{', '.join(wrong)}; the plan says {planned}"


def test_node_addresses(cluster: Cluster) -> None:
    wrong = []
    for name, node in _planned(cluster).items():
        found = [one["address"] for one in node["status"].get("addresses", []) if one["type"] == "InternalIP"]
        planned = cluster.target.nodes[name]
        if found != [planned]:
            hint = " (the address VirtualBox gives to every machine)" if "10.0.2.15" in found else ""
            wrong.append(f"{name} has {', '.join(found) or 'none'}{hint} instead of {planned}")
    assert not wrong, "; ".join(wrong)


def _planned(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The cluster's nodes that are in the plan: the plan has nothing to compare them with."""
    return {name: node for name, node in cluster.nodes().items() if name in cluster.target.nodes}


def test_version(cluster: Cluster) -> None:
    found = json.loads(cluster.answer("get --raw /version"))["gitVersion"]
    assert found == f"v{cluster.target.version}", f"it is {found}; the plan says v{cluster.target.version}"


_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
# Routes belong to the pod network and Services to kube-proxy.
_FIREWALL_ONLY = ("--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--enable-cni=false")
_LEADERS = ("kube-controller-manager", "kube-scheduler")


@pytest.mark.parametrize("component", _COMPONENTS)
@settles
def test_static_pod(cluster: Cluster, component: str) -> str:
    pods = cluster.pods(component=component)
    if not pods:
        return f"there is no {component} pod: its manifest is missing or the kubelet does not read it"
    return "; ".join(f"{name_of(pod)} is {state_of(pod)}" for pod in pods if not ready(pod))


@pytest.mark.parametrize("component", _LEADERS)
@settles
def test_leader(cluster: Cluster, component: str) -> str:
    commands = [one["spec"]["containers"][0].get("command", []) for one in cluster.pods(component=component)]
    if commands and all("--leader-elect=false" in command for command in commands):
        pytest.skip(f"not applicable: {component} runs with --leader-elect=false")
    leases = [one for one in cluster.objects("Lease") if name_of(one) == component]
    if not leases:
        return f"{component} never took its lease: it does not work"
    renewed = datetime.datetime.fromisoformat(leases[0]["spec"]["renewTime"])
    age = float(cluster.shell("date +%s").stdout) - renewed.timestamp()
    return "" if age < _LEASE_SECONDS else f"{component} renewed its lease {age:.0f} s ago: it hangs or is gone"


@settles
def test_kube_proxy(cluster: Cluster) -> str:
    return _missing_on_a_node(cluster, "kube-proxy")


@settles
def test_calico(cluster: Cluster) -> str:
    if cluster.target.cni != "calico":
        pytest.skip(f"not applicable: the lab's network is {cluster.target.cni}")
    if not any(ready(pod) for pod in cluster.pods(k8s_app="calico-kube-controllers")):
        return "calico-kube-controllers does not run"
    return _missing_on_a_node(cluster, "calico-node")


@settles
def test_kube_router(cluster: Cluster) -> str:
    if not cluster.target.network_policy:
        pytest.skip("not applicable: the pod network enforces NetworkPolicy itself, or nobody does")
    sets = [one for one in cluster.objects("DaemonSet") if name_of(one) == "kube-router"]
    if not sets:
        return "there is no DaemonSet kube-router"
    arguments = sets[0]["spec"]["template"]["spec"]["containers"][0].get("args", [])
    missing = [argument for argument in _FIREWALL_ONLY if argument not in arguments]
    if missing:
        return f"kube-router runs without {', '.join(missing)}"
    return _missing_on_a_node(cluster, "kube-router")


def _missing_on_a_node(cluster: Cluster, app: str) -> str:
    pods = {pod["spec"].get("nodeName", ""): pod for pod in cluster.pods(k8s_app=app)}
    missing = [name for name in cluster.nodes() if name not in pods]
    if missing:
        return f"no {app} pod on {', '.join(missing)}"
    return "; ".join(f"{app} on {node} is {state_of(pod)}" for node, pod in pods.items() if not ready(pod))


def test_pod_cidrs(cluster: Cluster) -> None:
    cidrs = {name: node["spec"].get("podCIDR", "") for name, node in cluster.nodes().items()}
    without = [name for name, cidr in cidrs.items() if not cidr]
    assert not without, f"no pod network was given to {', '.join(without)}"
    shared = sorted({cidr for cidr in cidrs.values() if list(cidrs.values()).count(cidr) > 1})
    assert not shared, f"given to more than one node: {', '.join(shared)}"


def test_bootstrap_tokens(cluster: Cluster) -> None:
    listed = cluster.answer("-n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token -o name")
    left = len(listed.split())
    assert not left, f"{left} join token{'s are' if left > 1 else ' is'} left: who has it can add a node to the cluster"


def _days_left(cluster: Cluster) -> dict[str, float]:
    """Days to the end of each certificate of the control plane, by file."""
    from cryptography import x509

    script = (
        'for f in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt; do echo "$f $(base64 -w0 "$f")"; done; '
        'for f in /etc/kubernetes/*.conf; do sed -n "s|^ *client-certificate-data:|$f|p" "$f"; done; date +%s'
    )
    *lines, now = cluster.shell(script).stdout.splitlines()
    days = {}
    for path, _, data in (line.partition(" ") for line in lines):
        text = base64.b64decode(data)
        if b"BEGIN CERTIFICATE" in text:
            ends = x509.load_pem_x509_certificate(text).not_valid_after_utc
            days[path] = (ends.timestamp() - float(now)) / 86400
    return days


def test_certificates(cluster: Cluster) -> None:
    days = _days_left(cluster)
    assert days, "no certificate was found in /etc/kubernetes"
    soon = [f"{path} {'ended' if left < 0 else f'ends in {left:.1f} days'}" for path, left in days.items() if left < 7]
    assert not soon, "\n".join(soon)
