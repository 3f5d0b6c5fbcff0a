"""A lab whose user installs the pod network: before it is there and afterwards, and that labctl leaves it alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.verify.conditions import NOT_INSTALLED
from tests.e2e.conftest import User, poll

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.takes(700)]

LAB = """\
version: 1
name: own-network
provider: container
workers: {count: 1}   # changed by scale
kubernetes: {version: "1.37.2", cni: none}
network: {subnet: auto}
"""
# kube-router as the whole pod network, from the one image on the nodes that can be one.
NETWORK = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: own-network, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: own-network}
rules:
  - {apiGroups: [""], resources: [namespaces, pods, services, nodes, endpoints], verbs: [get, list, watch]}
  - {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: own-network}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: own-network}
subjects: [{kind: ServiceAccount, name: own-network, namespace: kube-system}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: own-network, namespace: kube-system}
spec:
  selector: {matchLabels: {app: own-network}}
  template:
    metadata: {labels: {app: own-network}}
    spec:
      serviceAccountName: own-network
      priorityClassName: system-node-critical
      hostNetwork: true
      tolerations: [{operator: Exists}]
      initContainers:
        - name: configure
          image: IMAGE
          command: [bash, -ec, 'f=/etc/cni/net.d/10-own.conflist; [ -s "$f" ] || echo "$CONFIGURATION" >"$f"']
          env: [{name: CONFIGURATION, value: 'CONFIGURATION'}]
          volumeMounts: [{name: net-d, mountPath: /etc/cni/net.d}]
      containers:
        - name: kube-router
          image: IMAGE
          args: [--run-router, --run-firewall, --run-service-proxy=false, --enable-cni, --enable-overlay=false]
          env:
            - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: KUBE_ROUTER_CNI_CONF_FILE, value: /etc/cni/net.d/10-own.conflist}
          readinessProbe: {httpGet: {host: 127.0.0.1, path: /healthz, port: 20244}, periodSeconds: 3}
          securityContext: {privileged: true}
          volumeMounts:
            - {name: net-d, mountPath: /etc/cni/net.d}
            - {name: xtables-lock, mountPath: /run/xtables.lock}
      volumes:
        - {name: net-d, hostPath: {path: /etc/cni/net.d}}
        - {name: xtables-lock, hostPath: {path: /run/xtables.lock, type: FileOrCreate}}
"""
CONFIGURATION = {
    "cniVersion": "0.3.1",
    "name": "own",
    "plugins": [
        {"name": "own", "type": "bridge", "bridge": "kube-bridge", "isDefaultGateway": True, "hairpinMode": True}
        | {"ipam": {"type": "host-local"}},
        {"type": "portmap", "capabilities": {"portMappings": True, "snat": True}},
    ],
}
CONTENT = "cd /etc/cni/net.d && sha256sum *"
# kube-router writes its file again when it starts.
UNTOUCHED = f"{CONTENT} && stat -c '%n %i %Y' *"


class Owner(User):
    """Somebody who installs a pod network in a lab of his own."""

    @property
    def state(self) -> Path:
        return self.home / ".labctl" / "own-network"

    def on_nodes(self, command: str, on: str = "all") -> dict[str, str]:
        """What a command prints as root on each node."""
        done = self.run("exec", "--on", on, "--output", "json", "--", f"sudo sh -c {json.dumps(command)}")
        return {answer["node"]: answer["stdout"].strip() for answer in json.loads(done.stdout)["nodes"]}

    def verify(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("verify", "--output", "json").stdout)
        return document

    def nodes(self) -> str:
        return self.kubectl("get", "nodes", "--no-headers")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    user = Owner(tmp_path_factory.mktemp("own-network"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        done = user.run("provision", "--yes", "--progress", "plain")
        assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
        (user.home / "first.txt").write_text(done.stdout)
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def unchecked(report: dict[str, Any]) -> set[str]:
    """The checks that did not apply because there is no pod network."""
    return {check["id"] for check in report["checks"] if check["evidence"] == NOT_INSTALLED}


def bad(report: dict[str, Any]) -> list[str]:
    failed = [check for check in report["checks"] if check["status"] in ("failed", "error")]
    return [f"{check['id']}: {check['evidence']}" for check in failed]


def test_provision_ends_well_and_says_what_its_user_has_to_do(lab: Owner) -> None:
    text = (lab.home / "first.txt").read_text()
    assert NOT_INSTALLED in text
    assert "with the pod CIDR 172.16.0.0/16" in text
    assert "next: labctl kubectl -- apply -f MANIFEST" in text
    assert lab.nodes().count(" NotReady ") == 2


def test_nodes_have_the_plugins_and_no_configuration(lab: Owner) -> None:
    assert set(lab.on_nodes("ls /etc/cni/net.d 2>/dev/null | wc -l").values()) == {"0"}
    assert set(lab.on_nodes("test -x /opt/cni/bin/bridge && echo there").values()) == {"there"}


def test_what_needs_a_pod_network_does_not_apply_and_the_rest_is_checked(lab: Owner) -> None:
    report = lab.verify()
    assert report["ok"], bad(report)
    assert {"control_plane.nodes_ready", "dns.pods", "cluster_dns.answers", "workload.rollout"} <= unchecked(report)
    checked = {check["id"] for check in report["checks"] if check["status"] == "ok"}
    assert {"kubelet.health", "network.kube_proxy", "network.pod_cidrs", "control_plane.system_pods"} <= checked


def test_status_says_that_there_is_none(lab: Owner) -> None:
    assert lab.json("status")["pod_network"].startswith(NOT_INSTALLED)


def test_a_drill_that_needs_pods_is_refused(lab: Owner) -> None:
    refused = lab.run("drill", "start", "crash-loop")
    assert refused.returncode == 2
    assert NOT_INSTALLED in refused.stderr


def test_a_drill_without_pods_is_solved(lab: Owner) -> None:
    lab.good("drill", "start", "kubectl-anywhere", "--yes")
    lab.good("drill", "solve", "--yes")
    lab.good("drill", "reset", "--yes")


def test_a_second_provision_changes_nothing(lab: Owner) -> None:
    again = lab.json("provision", "--yes", "--full")
    assert again["changed"] == {"m-k8s": 0, "w1-k8s": 0}
    assert again["verify"]["ok"]
    lab.good("snapshot", "save", "bare")


def test_a_node_that_is_not_ready_for_another_reason_fails(lab: Owner) -> None:
    lab.on_nodes("systemctl stop kubelet", on="w1-k8s")
    poll("the cluster misses the node", lambda: "w1-k8s: Kubelet stopped posting" in " ".join(bad(lab.verify())), 120)
    failed = {problem.partition(":")[0] for problem in bad(lab.verify())}
    assert {"kubelet.running", "control_plane.nodes_ready"} <= failed
    assert lab.json("provision", "--yes")["verify"]["ok"]
    poll("the node waits for a network alone", lambda: lab.verify()["ok"], 60)


def test_with_a_network_of_its_users_every_check_runs(lab: Owner) -> None:
    listed = lab.on_nodes("crictl images | grep kube-router", on="m-k8s")["m-k8s"].split()
    manifest = NETWORK.replace("IMAGE", f"{listed[0]}:{listed[1]}")
    (lab.home / "network.yml").write_text(manifest.replace("'CONFIGURATION'", f"'{json.dumps(CONFIGURATION)}'"))
    lab.kubectl("apply", "-f", "network.yml")
    poll("the nodes are Ready", lambda: lab.nodes().count(" Ready ") == 2, 90)
    poll("the lab is healthy", lambda: lab.verify()["ok"], 120)
    report = lab.verify()
    assert not unchecked(report)
    checked = {check["id"] for check in report["checks"] if check["status"] == "ok"}
    assert {"network.pod_to_pod", "network.pod_addresses", "dns.service_name", "control_plane.nodes_ready"} <= checked
    assert lab.json("status")["pod_network"] == ""


def test_provision_leaves_the_users_network_alone_also_when_it_heals(lab: Owner) -> None:
    before = lab.on_nodes(UNTOUCHED)
    assert "10-own.conflist" in before["w1-k8s"]
    assert lab.json("provision", "--yes", "--full")["changed"] == {"m-k8s": 0, "w1-k8s": 0}
    lab.on_nodes("rm /etc/kubernetes/manifests/kube-scheduler.yaml", on="m-k8s")
    lab.on_nodes("systemctl disable --now kubelet", on="w1-k8s")
    assert lab.json("provision", "--yes")["verify"]["ok"]
    assert lab.on_nodes(UNTOUCHED) == before


def test_a_new_worker_gets_the_users_network_and_a_restart_keeps_it(lab: Owner) -> None:
    before = lab.on_nodes(CONTENT)
    assert lab.json("scale", "--workers", "2", "--yes")["verify"]["ok"]
    assert lab.json("scale", "--workers", "1", "--yes")["verify"]["ok"]
    lab.good("halt")
    assert lab.json("start")["verify"]["ok"]
    assert lab.on_nodes(CONTENT) == before


def test_a_reset_takes_the_users_network_along(lab: Owner) -> None:
    lab.good("reset", "--yes")
    assert set(lab.on_nodes("ls /etc/cni/net.d | wc -l").values()) == {"0"}
    again = lab.json("provision", "--yes")["verify"]
    assert again["ok"], bad(again)
    assert unchecked(again)


def test_a_snapshot_from_before_is_restored_without_waiting_for_pods(lab: Owner) -> None:
    done = lab.json("snapshot", "restore", "bare", "--yes")
    assert done["verify"]["ok"], bad(done["verify"])
    assert unchecked(done["verify"])
    assert done["seconds"] < 60
