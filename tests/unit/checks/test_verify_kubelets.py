"""What verify expects of kubelets, their static pods and the packet filter, and how it tells a difference."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
import yaml

from orchestrator.verify.cluster import Cluster
from orchestrator.verify.cluster_checks import kubelets
from orchestrator.verify.cluster_checks.kubelets import configuration_problems, planned_configuration
from orchestrator.verify.job import ClusterTarget
from orchestrator.verify.machine_checks.kubelet import facts_of, overrides
from orchestrator.verify.machine_checks.network_policy import missing_jumps
from orchestrator.verify.static_pods import differences, read_manifest, unusable
from tests.unit.checks.test_verify_cluster import READY, Shell

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  annotations: {kubeadm/endpoint: "192.168.56.10:6443"}
  creationTimestamp: null
  labels: {component: kube-scheduler}
  name: kube-scheduler
  namespace: kube-system
spec:
  containers:
  - command: [kube-scheduler, --leader-elect=true]
    image: registry.k8s.io/kube-scheduler:v1.37.2
    livenessProbe: {initialDelaySeconds: 0, httpGet: {port: probe-port}}
    name: kube-scheduler
    resources: {requests: {cpu: 0.1, memory: 0.5Gi}, limits: {}}
    volumeMounts: [{mountPath: /x, name: x, readOnly: false}]
  hostNetwork: true
  securityContext: {}
  tolerations: [{key: a, operator: Exists}]
  volumes: [{name: x, emptyDir: {}}]
status: {}
"""


def as_the_api_server_has_it() -> dict[str, Any]:
    pod: dict[str, Any] = yaml.safe_load(MANIFEST)
    pod["metadata"] |= {"name": "kube-scheduler-m-k8s", "annotations": {**pod["metadata"]["annotations"], "hash": "1"}}
    container = pod["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "100m", "memory": "512Mi"}}
    container["livenessProbe"] = {"httpGet": {"port": "probe-port", "scheme": "HTTP"}, "periodSeconds": 10}
    container["volumeMounts"] = [{"mountPath": "/x", "name": "x"}]
    pod["spec"] |= {"nodeName": "m-k8s", "securityContext": {"fsGroup": 1}, "dnsPolicy": "ClusterFirst"}
    pod["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}, {"effect": "NoExecute", "operator": "Exists"}]
    return pod


def differing(old: str, new: str) -> list[str]:
    assert old in MANIFEST
    return differences(read_manifest("kube-scheduler.yaml", MANIFEST.replace(old, new)), as_the_api_server_has_it())


def test_defaults_of_the_api_server_are_no_difference() -> None:
    assert differing("kube-scheduler", "kube-scheduler") == []


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ("v1.37.2", "v1.37.1", ["spec.containers[0].image"]),
        ("--leader-elect=true", "--leader-elect=false", ["spec.containers[0].command[1]"]),
        ("--leader-elect=true", "--leader-elect=true, --v=4", ["spec.containers[0].command"]),
        ("cpu: 0.1", "cpu: 200m", ["spec.containers[0].resources.requests.cpu"]),
        ("readOnly: false", "readOnly: true", ["spec.containers[0].volumeMounts[0].readOnly"]),
        ("component: kube-scheduler", "component: other", ["labels.component"]),
        ("192.168.56.10", "192.168.56.11", ["annotations.kubeadm/endpoint"]),
        ("hostNetwork: true", "hostPID: true", ["spec.hostPID"]),
    ],
)
def test_a_field_that_the_pod_does_not_have_is_named(old: str, new: str, fields: list[str]) -> None:
    assert differing(old, new) == fields


def test_a_copy_beside_a_manifest_is_found() -> None:
    manifests = [read_manifest(name, MANIFEST) for name in ("a.yaml", "a.yaml.bak")]
    assert unusable(manifests) == ["a.yaml and a.yaml.bak both describe kube-system/kube-scheduler"]


def test_a_file_without_a_pod_is_named_with_the_reason() -> None:
    manifests = [read_manifest("a.yaml", "a: [\n"), read_manifest("b.yaml", ""), read_manifest("c.yaml", "kind: Job")]
    assert unusable(manifests) == ["a.yaml is not YAML (line 2)", "b.yaml describes no Pod", "c.yaml describes no Pod"]


def test_a_manifest_without_a_namespace_is_of_the_default_one() -> None:
    assert read_manifest("a.yaml", "{kind: Pod, metadata: {name: web}}").name == "default/web"


TARGET = ClusterTarget(
    "m-k8s", "1.37.2", {}, "bridge_cni", dns_address="10.96.0.10", cgroup_driver="cgroupfs", allow_cgroup_v1=True
)
RUNNING = {
    "cgroupDriver": "cgroupfs",
    "clusterDNS": ["10.96.0.10"],
    "clusterDomain": "cluster.local",
    "staticPodPath": "/etc/kubernetes/manifests",
    "failCgroupV1": False,
}


def test_a_kubelet_that_runs_as_planned_has_no_problem() -> None:
    assert configuration_problems({**RUNNING, "maxPods": 110}, planned_configuration(TARGET)) == []


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("cgroupDriver", "systemd", "cgroupDriver is systemd instead of cgroupfs"),
        ("clusterDNS", ["10.96.0.11"], 'clusterDNS is ["10.96.0.11"] instead of ["10.96.0.10"]'),
        ("failCgroupV1", True, "failCgroupV1 is true instead of false"),
        ("staticPodPath", None, "staticPodPath is null instead of /etc/kubernetes/manifests"),
    ],
)
def test_a_field_that_differs_is_told_with_both_values(field: str, value: Any, problem: str) -> None:
    running = copy.deepcopy(RUNNING) | {field: value}
    assert configuration_problems(running, planned_configuration(TARGET)) == [problem]


def cluster_of(objects: list[dict[str, Any]], *answers: str) -> Cluster:
    """A cluster with these objects, whose control plane gives these answers."""
    target = ClusterTarget(**{**TARGET.__dict__, "nodes": {"m-k8s": "192.168.56.10", "w1-k8s": "192.168.56.101"}})
    return Cluster(Shell(*((0, answer, "") for answer in (json.dumps({"items": objects}), *answers))), target)


NODES = [{"kind": "Node", "metadata": {"name": name}, "status": READY} for name in ("m-k8s", "w1-k8s")]


def test_every_kubelet_is_asked_and_one_without_an_answer_is_named() -> None:
    cluster = cluster_of(NODES, f"{json.dumps({'kubeletconfig': RUNNING})}\n\n")
    with pytest.raises(AssertionError, match=r"^w1-k8s: no answer$"):
        kubelets.test_configuration(cluster)
    assert "/api/v1/nodes/{m-k8s,w1-k8s}/proxy/configz" in cluster.host.asked[-1]


def test_a_kubelet_that_lacks_a_pod_network_alone_is_asked_and_another_unready_one_is_not() -> None:
    message = (
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
        "message:Network plugin returns error: cni plugin not initialized"
    )
    unready = [{"conditions": [{"type": "Ready", "status": "False", "message": text}]} for text in (message, "PLEG")]
    nodes = [{**node, "status": status} for node, status in zip(NODES, unready, strict=True)]
    cluster = cluster_of(nodes, f"{json.dumps({'kubeletconfig': RUNNING})}\n")
    kubelets.test_configuration(cluster)
    assert "/api/v1/nodes/{m-k8s}/proxy/configz" in cluster.host.asked[-1]


def mirror() -> dict[str, Any]:
    pod = as_the_api_server_has_it()
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "1"
    return pod


def manifest_line(text: str) -> str:
    return f"kube-scheduler.yaml {base64.b64encode(text.encode()).decode()}\n"


def test_static_pods_that_are_as_their_manifests_say_pass() -> None:
    kubelets.test_static_pods(cluster_of([mirror()], manifest_line(MANIFEST)))


@pytest.mark.parametrize(
    ("pods", "manifests", "evidence"),
    [
        ([mirror()], manifest_line(MANIFEST.replace("v1.37.2", "v1.38.0")), "m-k8s is older than the file"),
        ([mirror()], "", "kube-system/kube-scheduler-m-k8s has no manifest"),
        ([], manifest_line(MANIFEST), "the API server shows no kube-system/kube-scheduler-m-k8s"),
    ],
)  # fmt: skip
def test_a_static_pod_that_is_not_the_one_on_disk_fails(pods: list[Any], manifests: str, evidence: str) -> None:
    with pytest.raises(AssertionError, match=evidence):
        kubelets.test_static_pods(cluster_of(pods, manifests))


def test_an_older_kubelet_is_not_asked_for_what_it_does_not_have() -> None:
    target = ClusterTarget("m-k8s", "1.20.2", {}, "bridge_cni")
    assert "failCgroupV1" not in planned_configuration(target)


KUBEADMS = """\
active active
argument --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf
argument --kubeconfig=/etc/kubernetes/kubelet.conf
argument --config=/var/lib/kubelet/config.yaml
argument --node-ip=192.168.56.10
given --node-ip=192.168.56.10
"""


def test_a_kubelet_that_kubeadm_alone_configures_has_no_override() -> None:
    assert overrides(facts_of(KUBEADMS)) == []


def test_files_and_arguments_that_are_not_kubeadms_are_overrides() -> None:
    text = f"{KUBEADMS}file /etc/default/kubelet\nargument --max-pods=3\n"
    assert overrides(facts_of(text)) == ["/etc/default/kubelet", "--max-pods=3"]


JUMPS = [
    f'-A {chain} -m comment --comment "kube-router netpol - X" -j KUBE-ROUTER-{chain}' for chain in ("INPUT", "OUTPUT")
]


def test_chains_that_do_not_lead_to_kube_router_are_named() -> None:
    assert missing_jumps(["-P FORWARD ACCEPT", *JUMPS]) == ["FORWARD"]
