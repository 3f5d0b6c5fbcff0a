"""Checks of the control plane and of the cluster's nodes, as the API server tells them."""

from __future__ import annotations

import base64
import datetime
import json
import re
from typing import Any

import pytest

from orchestrator.verify.cluster import Cluster, condition, name_of, ready, state_of

API = ("control_plane.api",)
_OWN_TAINTS = ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane")
_LEASE_SECONDS = 60


def _check(
    name: str, remedy: str, *, layer: str = "control_plane", severity: str = "error", title: str = ""
) -> pytest.MarkDecorator:
    identity = f"{layer}.{name}"
    return pytest.mark.check(id=identity, layer=layer, severity=severity, remedy=remedy, after=API, title=title)


@pytest.mark.check(
    id="control_plane.api", layer="control_plane", remedy="labctl exec --on m-k8s -- sudo journalctl -u kubelet -n 50"
)
def test_api(cluster: Cluster) -> None:
    """The API server answers and calls itself ready."""
    cluster.settled(lambda: _raw(cluster, "/readyz"))


def _raw(cluster: Cluster, path: str) -> str:
    """Why a health endpoint of the API server is not content; empty when it is."""
    result = cluster.kubectl(f"get --raw '{path}'", limit=20)
    if result.rc == 0 and result.stdout.strip() == "ok":
        return ""
    text = f"{result.stdout}\n{result.stderr}"
    failing = re.findall(r"\[-\](\S+) failed", text)
    words = [line for line in text.splitlines() if line.strip()]
    return (
        f"it answers, but says of itself: failed {', '.join(failing)}"
        if failing
        else words[-1]
        if words
        else "no answer"
    )


@_check("etcd_health", "labctl exec --on m-k8s -- sudo journalctl -u kubelet -n 50")
def test_etcd_health(cluster: Cluster) -> None:
    """The API server reaches etcd."""
    cluster.settled(lambda: _raw(cluster, "/healthz/etcd"))


@_check("node_names", "labctl provision")
def test_node_names(cluster: Cluster) -> None:
    """The cluster has exactly the nodes of the plan."""
    planned, found = set(cluster.target.nodes), set(cluster.nodes())
    missing, extra = sorted(planned - found), sorted(found - planned)
    assert not missing, f"not in the cluster: {', '.join(missing)}"
    assert not extra, f"in the cluster but not in the plan: {', '.join(extra)}"


@_check("nodes_ready", "labctl provision")
def test_nodes_ready(cluster: Cluster) -> None:
    """Every node is Ready."""

    def look() -> str:
        wrong = [
            f"{name}: {condition(node, 'Ready').get('message', 'it has never reported')}"
            for name, node in cluster.nodes().items()
            if not ready(node)
        ]
        return "\n".join(wrong)

    cluster.settled(look)


@_check("nodes_schedulable", "kubectl uncordon NODE", severity="warning")
def test_nodes_schedulable(cluster: Cluster) -> None:
    """No node is cordoned."""
    cordoned = [name for name, node in cluster.nodes().items() if node["spec"].get("unschedulable")]
    assert not cordoned, f"cordoned: {', '.join(cordoned)}; no new pod is placed there"


@_check("node_taints", "kubectl taint nodes NODE KEY-", severity="warning")
def test_node_taints(cluster: Cluster) -> None:
    """No node carries a taint that the lab did not set."""
    strange = [
        f"{name} has {taint['key']}:{taint['effect']}"
        for name, node in cluster.nodes().items()
        for taint in node["spec"].get("taints", [])
        if taint["key"] not in _OWN_TAINTS and not taint["key"].startswith("node.kubernetes.io/")
    ]
    assert not strange, "; ".join(strange)


@_check("node_pressure", "labctl verify --only machine")
def test_node_pressure(cluster: Cluster) -> None:
    """No node is short of memory, disk or process ids."""
    short = [
        f"{name}: {kind}: {condition(node, kind).get('message', '')}"
        for name, node in cluster.nodes().items()
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
        if condition(node, kind).get("status") == "True"
    ]
    assert not short, "\n".join(short)


@_check("node_versions", "labctl provision", layer="kubelet")
def test_node_versions(cluster: Cluster) -> None:
    """Every kubelet has the version of the plan."""
    wanted = f"v{cluster.target.version}"
    found = {name: node["status"]["nodeInfo"]["kubeletVersion"] for name, node in _planned(cluster).items()}
    wrong = [f"{name} runs {version or 'nothing yet'}" for name, version in found.items() if version != wanted]
    assert not wrong, f"{', '.join(wrong)}; the plan says {wanted}"


@_check("node_addresses", "labctl provision", layer="kubelet")
def test_node_addresses(cluster: Cluster) -> None:
    """Every node registered with its planned address."""
    wrong = []
    for name, node in _planned(cluster).items():
        found = [one["address"] for one in node["status"].get("addresses", []) if one["type"] == "InternalIP"]
        wanted = cluster.target.nodes[name]
        if found != [wanted]:
            hint = " (the address VirtualBox gives to every machine)" if "10.0.2.15" in found else ""
            wrong.append(f"{name} has {', '.join(found) or 'none'}{hint} instead of {wanted}")
    assert not wrong, "; ".join(wrong)


def _planned(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The cluster's nodes without strangers: of what the plan does not know it can ask nothing."""
    return {name: node for name, node in cluster.nodes().items() if name in cluster.target.nodes}


@_check("version", "labctl provision")
def test_version(cluster: Cluster) -> None:
    """The API server has the version of the plan."""
    found = json.loads(cluster.answer("get --raw /version"))["gitVersion"]
    assert found == f"v{cluster.target.version}", f"it is {found}; the plan says v{cluster.target.version}"


def _component_check(component: str, what: str, promise: str, remedy: str) -> Any:
    identity = f"{component.replace('-', '_')}{what}"
    return pytest.param(component, marks=_check(identity, remedy, title=f"{component} {promise}"))


_MANIFESTS = "labctl exec --on m-k8s -- ls -l /etc/kubernetes/manifests"
_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
_LEADERS = ("kube-controller-manager", "kube-scheduler")


@pytest.mark.parametrize("component", [_component_check(one, "", "runs", _MANIFESTS) for one in _COMPONENTS])
def test_static_pod(cluster: Cluster, component: str) -> None:
    """The control plane's own pod runs."""

    def look() -> str:
        pods = cluster.pods(component=component)
        if not pods:
            return f"there is no {component} pod: its manifest is missing or the kubelet does not read it"
        return "; ".join(f"{name_of(pod)} is {state_of(pod)}" for pod in pods if not ready(pod))

    cluster.settled(look)


@pytest.mark.parametrize(
    "component", [_component_check(one, "_leads", "holds and renews its lease", _MANIFESTS) for one in _LEADERS]
)
def test_leader(cluster: Cluster, component: str) -> None:
    """The component holds and renews its leader lease, which it does only while it works."""
    commands = [one["spec"]["containers"][0].get("command", []) for one in cluster.pods(component=component)]
    if commands and all("--leader-elect=false" in command for command in commands):
        pytest.skip(f"not applicable: {component} was told to hold none")

    def look() -> str:
        leases = [one for one in cluster.objects("Lease") if name_of(one) == component]
        if not leases:
            return f"{component} never took its lease: it does not work"
        renewed = datetime.datetime.fromisoformat(leases[0]["spec"]["renewTime"])
        now = float(cluster.shell("date +%s").stdout)
        age = now - renewed.timestamp()
        return "" if age < _LEASE_SECONDS else f"{component} renewed its lease {age:.0f} s ago: it hangs or is gone"

    cluster.settled(look)


@_check("kube_proxy", "kubectl -n kube-system get daemonset kube-proxy", layer="network")
def test_kube_proxy(cluster: Cluster) -> None:
    """kube-proxy runs on every node."""
    cluster.settled(lambda: _on_every_node(cluster, "kube-proxy"))


@_check("calico", "labctl provision", layer="network")
def test_calico(cluster: Cluster) -> None:
    """calico-node runs on every node, calico-kube-controllers once."""
    if cluster.target.cni != "calico":
        pytest.skip(f"not applicable: the lab's network is {cluster.target.cni}")

    def look() -> str:
        controllers = cluster.pods(k8s_app="calico-kube-controllers")
        if not any(ready(pod) for pod in controllers):
            return "calico-kube-controllers does not run"
        return _on_every_node(cluster, "calico-node")

    cluster.settled(look)


def _on_every_node(cluster: Cluster, app: str) -> str:
    pods = {pod["spec"].get("nodeName", ""): pod for pod in cluster.pods(k8s_app=app)}
    missing = [name for name in cluster.nodes() if name not in pods]
    if missing:
        return f"no {app} pod on {', '.join(missing)}"
    return "; ".join(f"{app} on {node} is {state_of(pod)}" for node, pod in pods.items() if not ready(pod))


@_check("system_pods", "kubectl -n kube-system get pods -o wide", severity="warning")
def test_system_pods(cluster: Cluster) -> None:
    """No pod of kube-system keeps failing."""

    def look() -> str:
        wrong = [
            f"{name_of(pod)} is {state_of(pod)}"
            for pod in cluster.pods()
            if pod.get("status", {}).get("phase") != "Succeeded" and not ready(pod)
        ]
        return "; ".join(wrong)

    cluster.settled(look)


@_check("pod_cidrs", "labctl provision", layer="network")
def test_pod_cidrs(cluster: Cluster) -> None:
    """Every node has a pod network of its own."""
    cidrs = {name: node["spec"].get("podCIDR", "") for name, node in cluster.nodes().items()}
    without = [name for name, cidr in cidrs.items() if not cidr]
    assert not without, f"no pod network was given to {', '.join(without)}"
    shared = sorted({cidr for cidr in cidrs.values() if list(cidrs.values()).count(cidr) > 1})
    assert not shared, f"given to more than one node: {', '.join(shared)}"


@_check("bootstrap_tokens", "labctl exec --on m-k8s -- sudo kubeadm token list", severity="warning")
def test_bootstrap_tokens(cluster: Cluster) -> None:
    """No join token is left behind."""
    listed = cluster.answer("-n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token -o name")
    left = len(listed.split())
    assert not left, f"{left} join token{'s are' if left > 1 else ' is'} left: who has it can add a node to the cluster"


def _days_left(cluster: Cluster) -> dict[str, float]:
    """Days to the end of each certificate of the control plane, by file."""
    from cryptography import x509

    script = (
        "for f in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt; do"
        ' [ -f "$f" ] && echo "file $f" && cat "$f"; done;'
        " for f in /etc/kubernetes/*.conf; do"
        ' sed -n "s|^ *client-certificate-data: |data $f |p" "$f"; done'
    )
    output = cluster.shell(script).stdout
    now = float(cluster.shell("date +%s").stdout)
    found: dict[str, float] = {}
    texts = {
        match.group(1): match.group(2).encode()
        for match in re.finditer(
            r"^file (\S+)\n(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)", output, re.MULTILINE | re.DOTALL
        )
    }
    texts |= {
        one.group(1): base64.b64decode(one.group(2)) for one in re.finditer(r"^data (\S+) (\S+)$", output, re.MULTILINE)
    }
    for path, text in texts.items():
        ends = x509.load_pem_x509_certificate(text).not_valid_after_utc
        found[path] = (ends.timestamp() - now) / 86400
    return found


@_check("certificates", "labctl exec --on m-k8s -- sudo kubeadm certs renew all")
def test_certificates(cluster: Cluster) -> None:
    """No certificate of the control plane ends within a week."""
    days = _days_left(cluster)
    assert days, "no certificate was found in /etc/kubernetes"
    soon = [f"{path} {'ended' if left < 0 else f'ends in {left:.1f} days'}" for path, left in days.items() if left < 7]
    assert not soon, "\n".join(soon)
