"""A small real workload for the checks: a Deployment with one pod per node, its Services, and what the pods see."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .cluster import Cluster, name_of, ready, state_of

NAME = "labctl-verify"
_TOLERATED = ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane")
# Seconds: for all pods to be ready, and for the scheduler to place them; a dead scheduler need not be waited for.
_ROLLOUT_LIMIT = 30.0
_PLACING_LIMIT = 10.0
# Seconds on a busy host, where kubelets are at work on the pods and complain of nothing.
_BUSY_LIMIT = 75.0
_SERVICE_CALLS = 12
# Seconds that rules and names may lag behind a Service that was just made.
_FOLLOWING = 3.0


@dataclass(frozen=True)
class ProbePod:
    """One pod of the workload."""

    name: str
    node: str
    address: str


class Workload:
    """The probe Deployment in a namespace of its own: created at once, waited for when `pods` is first asked.

    Each pod holds a web server that answers with the pod's name and a shell to look around from.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._failure = ""
        self._remove_leftovers()
        self.namespace = f"{NAME}-{secrets.token_hex(3)}"
        self.nodes = tuple(
            sorted(
                name
                for name, node in cluster.nodes().items()
                if ready(node) and _open(node) and name in cluster.target.nodes
            )
        )
        cluster.undo.callback(self.remove)
        try:
            manifest = json.dumps(self._manifest())
            cluster.answer(f"apply -f - <<'END_OF_MANIFEST'\n{manifest}\nEND_OF_MANIFEST\n", limit=30)
        except AssertionError as error:
            self._failure = str(error)

    @cached_property
    def pods(self) -> tuple[ProbePod, ...]:
        """The pods that became ready, even when others did not."""
        return () if self._failure else self._wait()

    def up(self) -> None:
        """Fail the check that asks when not every node runs its pod."""
        assert self.pods, self._failure or "no pod became ready"
        assert self._failure == "", self._failure

    def remove(self) -> None:
        """Delete the namespace; the cluster finishes the deletion by itself within seconds."""
        with contextlib.suppress(Exception):
            self._cluster.kubectl(f"delete namespace {self.namespace} --wait=false --ignore-not-found", limit=15)

    def _remove_leftovers(self) -> None:
        """Delete namespaces of runs that no longer live: killed ones on this host, old ones of other hosts."""
        listed = json.loads(self._cluster.answer(f"get namespaces -l app={NAME} -o json"))
        dead = [
            name_of(one)
            for one in listed["items"]
            if one["status"]["phase"] == "Active" and not _alive(one["metadata"].get("annotations", {}))
        ]
        if dead:
            self._cluster.kubectl(f"delete namespace {' '.join(dead)} --wait=false", limit=15)

    def _manifest(self) -> dict[str, Any]:
        target = self._cluster.target
        labels = {"app": NAME}
        web = {
            "name": "web",
            "image": target.web_image,
            "readinessProbe": {"tcpSocket": {"port": target.web_port}, "periodSeconds": 1},
        }
        shell = {"name": "shell", "image": target.shell_image, "command": ["sleep", "600"]}
        pod = {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [web, shell],
            "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in _TOLERATED],
            "affinity": {
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
                    ]
                }
            },
        }
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "whoami", "namespace": self.namespace},
            "spec": {
                "replicas": len(self.nodes),
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
        ports = [{"port": 80, "targetPort": target.web_port}]
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": labels, "annotations": _holder()},
        }
        return {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                namespace,
                deployment,
                self._service("whoami", {"selector": labels, "ports": ports}),
                self._service("headless", {"selector": labels, "ports": ports, "clusterIP": "None"}),
            ],
        }

    def _service(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    def _wait(self) -> tuple[ProbePod, ...]:
        started = time.monotonic()
        target = self._cluster.target
        while True:
            pods = json.loads(self._cluster.answer(f"-n {self.namespace} get pods -o json"))["items"]
            up = [pod for pod in pods if ready(pod)]
            found = [ProbePod(name_of(p), p["spec"]["nodeName"], p["status"]["podIP"]) for p in up]
            found.sort(key=lambda one: one.node)
            if self.nodes and len(up) == len(self.nodes):
                return tuple(found)
            waited = time.monotonic() - started
            beyond = (waited - target.settle) / target.patience
            complaint = self._complaint() if beyond > _ROLLOUT_LIMIT else ""
            if not self.nodes or beyond > _patience(pods, complaint):
                running = {pod.node for pod in found}
                without = ", ".join(name for name in self.nodes if name not in running)
                states = ", ".join(f"{p['spec'].get('nodeName', 'not placed')}: {state_of(p)}" for p in pods)
                self._failure = (
                    f"no pod became ready within {waited:.0f} s on {without or 'any node: none takes pods'}"
                    f" ({states or 'no pod was made'}){complaint and f': {complaint}'}"
                )
                return tuple(found)
            time.sleep(0.3)

    def _complaint(self) -> str:
        """What a kubelet said last of a pod that it cannot start, in one line; empty when none complains."""
        chosen = "--field-selector type=Warning,involvedObject.kind=Pod"
        result = self._cluster.kubectl(f"-n {self.namespace} get events {chosen} -o json")
        events = json.loads(result.stdout)["items"] if result.rc == 0 else []
        said = [str(one["message"]) for one in events if str(one.get("reason", "")).startswith("Failed")]
        return " ".join(said[-1].split())[:300] if said else ""

    @cached_property
    def seen(self) -> dict[str, Seen]:
        """What each pod's shell sees, by node; a look that finds something amiss is taken once more.

        Endpoints, kube-proxy's rules and DNS follow a new Service within a second or two, not at once.
        """
        seen = self._look()
        until = time.monotonic() + max(_FOLLOWING, self._cluster.target.settle)
        while not self._all_well(seen) and time.monotonic() < until:
            time.sleep(1)
            seen = self._look()
        return seen

    def _all_well(self, seen: dict[str, Seen]) -> bool:
        names = {pod.name for pod in self.pods}
        addresses = {pod.address for pod in self.pods}
        answered = {answer for one in seen.values() for answer in one.of("service")}
        return answered == names and all(
            {line.partition(" ")[2] for line in one.of("pod")} == names
            and set(one.of("named")) <= names
            and one.of("full")[:1] == [f"{self.service_address} "]
            and set(" ".join(one.of("headless")).split()) == addresses
            for one in seen.values()
        )

    def _look(self) -> dict[str, Seen]:
        """Look around from every pod: one exec per pod, all at once."""
        script = _LOOK.format(
            addresses=" ".join(pod.address for pod in self.pods),
            port=self._cluster.target.web_port,
            calls=" ".join(str(number) for number in range(_SERVICE_CALLS)),
            service=self.service_address,
            name=f"whoami.{self.namespace}.svc.{self._cluster.target.dns_domain}",
            headless=f"headless.{self.namespace}.svc.{self._cluster.target.dns_domain}",
            domain=self._cluster.target.dns_domain,
        )
        runs = " ".join(
            f'(kubectl --request-timeout=30s -n {self.namespace} exec {pod.name} -c shell -- sh -c "$look" 2>&1'
            f" | sed 's/^/{pod.node} /') &"
            for pod in self.pods
        )
        output = self._cluster.shell(f"look=$(cat <<'END_OF_LOOK'\n{script}\nEND_OF_LOOK\n)\n{runs} wait", limit=60)
        lines = [line.split(" ", 2) for line in output.stdout.splitlines()]
        return {
            pod.node: Seen(
                [(one[1], one[2] if len(one) > 2 else "") for one in lines if one[0] == pod.node and one[1:]]
            )
            for pod in self.pods
        }

    @cached_property
    def service_address(self) -> str:
        """The cluster IP of the workload's Service."""
        return self._cluster.answer(f"-n {self.namespace} get service whoami -o jsonpath={{.spec.clusterIP}}").strip()

    def logs(self) -> dict[str, str]:
        """Why the log of a node's pod cannot be read, by node; empty when all can."""
        reads = " ".join(
            f"(kubectl --request-timeout=15s -n {self.namespace} logs {pod.name} -c web --tail=1 2>&1 >/dev/null"
            f" | sed 's/^/{pod.node} /') &"
            for pod in self.pods
        )
        lines = self._cluster.shell(f"{reads} wait", limit=30).stdout.splitlines()
        return dict(line.partition(" ")[::2] for line in lines)

    def silent_from_node(self) -> list[str]:
        """The nodes whose pods the control plane's machine itself cannot reach."""
        port = self._cluster.target.web_port
        calls = " ".join(
            f"(curl -s -m 4 -o /dev/null http://{p.address}:{port}/ || echo {p.node}) &" for p in self.pods
        )
        return sorted(self._cluster.shell(f"{calls} wait").stdout.split())


@dataclass(frozen=True)
class Seen:
    """Lines (`kind`, `text`) that one pod printed while looking around."""

    lines: list[tuple[str, str]]

    def of(self, kind: str) -> list[str]:
        """The texts of one kind."""
        return [text for said, text in self.lines if said == kind]


# Every question goes out at once; each has its own time limit, so the whole takes about as long as the slowest.
_LOOK = """
for a in {addresses}; do (echo "pod $a $(curl -s -m 4 http://$a:{port}/ | head -n 1)") & done
for i in {calls}; do (echo "service $(curl -s -m 4 http://{service}/ | head -n 1)") & done
(echo "named $(curl -s -m 8 http://whoami/ | head -n 1)") &
(echo "full $(dig +short +time=2 +tries=2 {name} | grep -v '^;' | tr '\\n' ' ')") &
(echo "headless $(dig +short +time=2 +tries=2 {headless} | grep -v '^;' | sort | tr '\\n' ' ')") &
(echo "api $(dig +short +time=2 +tries=2 kubernetes.default.svc.{domain} | grep -v '^;' | tr '\\n' ' ')") &
(echo "resolver $(sed -n 's/^nameserver //p' /etc/resolv.conf | tr '\\n' ' ')") &
wait
"""


def _patience(pods: list[dict[str, Any]], complaint: str) -> float:
    """Seconds after which pods that are not ready will not be: a kubelet at work without a complaint gets longest."""
    if not any("nodeName" in pod["spec"] for pod in pods):
        return _PLACING_LIMIT
    at_work = {state_of(pod) for pod in pods if not ready(pod)} == {"ContainerCreating"}
    return _BUSY_LIMIT if at_work and not complaint else _ROLLOUT_LIMIT


def _open(node: dict[str, Any]) -> bool:
    """Whether ordinary pods, and ours that tolerate the control plane's own taint, are placed on a node."""
    taints = [one["key"] for one in node["spec"].get("taints", []) if one["effect"] != "PreferNoSchedule"]
    return not node["spec"].get("unschedulable") and all(key in _TOLERATED for key in taints)


def _holder() -> dict[str, str]:
    return {
        "labctl/host": socket.gethostname(),
        "labctl/pid": str(os.getpid()),
        "labctl/until": f"{time.time() + 600:.0f}",
    }


def _alive(annotations: dict[str, str]) -> bool:
    if annotations.get("labctl/host") != socket.gethostname():
        return float(annotations.get("labctl/until", "0")) > time.time()
    pid = annotations.get("labctl/pid", "")
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
