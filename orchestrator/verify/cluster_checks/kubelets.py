"""Checks of what the kubelets run with, and of static pods that are what their manifests say."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Any

import pytest

from orchestrator.catalog.versions import at_least
from orchestrator.verify.cluster import Cluster, name_of, settles
from orchestrator.verify.conditions import awaits_network, ready
from orchestrator.verify.job import ClusterTarget
from orchestrator.verify.static_pods import Manifest, differences, read_manifest, unusable

MANIFESTS = "/etc/kubernetes/manifests"
# By this annotation the API server's copy of a static pod is known.
_MIRROR = "kubernetes.io/config.mirror"
# The API server's own credential: what `kubectl get --raw` gives for one node, curl gives for all in one connection.
_CURL = (
    "cd /etc/kubernetes/pki && curl -skf -m 10 --noproxy '*' -w '\\n' --cert apiserver-kubelet-client.crt "
    "--key apiserver-kubelet-client.key "
)


def planned_configuration(target: ClusterTarget) -> dict[str, Any]:
    """What the plan says of the configuration of every kubelet, by its field there."""
    planned: dict[str, Any] = {
        "cgroupDriver": target.cgroup_driver,
        "clusterDNS": [target.dns_address],
        "clusterDomain": target.dns_domain,
        "staticPodPath": MANIFESTS,
    }
    # From 1.35 on a kubelet refuses control groups of version 1 unless it is told not to.
    if at_least(target.version, "1.35"):
        planned["failCgroupV1"] = not target.allow_cgroup_v1
    return planned


def configuration_problems(running: dict[str, Any], planned: dict[str, Any]) -> list[str]:
    """The fields in which a running configuration differs from the plan."""
    return [
        f"{field} is {_shown(running.get(field))} instead of {_shown(value)}"
        for field, value in planned.items()
        if running.get(field) != value
    ]


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value)


@settles
def test_configuration(cluster: Cluster) -> str:
    # One that is not Ready is reported as such, and asking it may take until the time limit.
    answering = {name for name, node in cluster.nodes().items() if ready(node) or awaits_network(node)}
    nodes = [name for name in cluster.target.nodes if name in answering]
    if not nodes:
        pytest.skip("waits for control_plane.nodes_ready")
    url = f"https://127.0.0.1:6443/api/v1/nodes/{{{','.join(nodes)}}}/proxy/configz"
    answers = cluster.shell(f"{_CURL}{shlex.quote(url)}").stdout.split("\n")
    planned, wrong = planned_configuration(cluster.target), []
    for name, answer in zip(nodes, answers, strict=False):
        problems = configuration_problems(json.loads(answer)["kubeletconfig"], planned) if answer else ["no answer"]
        wrong += [f"{name}: {', '.join(problems)}"] if problems else []
    return "\n".join(wrong)


def _manifests(cluster: Cluster) -> list[Manifest]:
    """The files that the control plane's kubelet makes pods of: all but hidden ones."""
    script = f'cd {MANIFESTS} && for f in *; do [ ! -f "$f" ] || echo "$f $(base64 -w0 "$f")"; done'
    lines = [line.rpartition(" ") for line in cluster.shell(script).stdout.splitlines()]
    return [read_manifest(file, base64.b64decode(data).decode(errors="replace")) for file, _, data in lines]


def test_manifest_files(cluster: Cluster) -> None:
    problems = unusable(_manifests(cluster))
    assert not problems, f"in {MANIFESTS}: {'; '.join(problems)}"


@settles
def test_static_pods(cluster: Cluster) -> str:
    """A pod whose manifest changed is replaced within half a minute; one that is not is what this finds."""
    node = cluster.target.control_plane
    mirrors = {
        f"{pod['metadata']['namespace']}/{name_of(pod)}": pod
        for pod in cluster.objects("Pod")
        if pod["spec"].get("nodeName") == node and _MIRROR in pod["metadata"].get("annotations", {})
    }
    problems = []
    for manifest in _manifests(cluster):
        pod = mirrors.pop(f"{manifest.name}-{node}", None)
        if pod is None:
            problems.append(f"{manifest.file}: the API server shows no {manifest.name}-{node}")
        elif fields := differences(manifest, pod):
            problems.append(f"{manifest.file}: {name_of(pod)} is older than the file, which differs in {fields[0]}")
    return "; ".join([*problems, *(f"{name} has no manifest" for name in mirrors)])
