"""A small real workload for the checks: a Deployment with one pod per node, its Services, and what the pods see."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .cluster import Cluster, Objects, name_of, state_of
from .conditions import ready
from .probe_manifest import NAME, has_living_owner, probe_manifest, takes_pods

# Seconds: for all pods to be ready, and for the scheduler to place them; a dead scheduler need not be waited for.
_ROLLOUT_LIMIT = 30.0
_PLACING_LIMIT = 10.0
# Seconds on a busy host, where kubelets are at work on the pods and complain of nothing.
_BUSY_LIMIT = 75.0
_SERVICE_CALLS = 12
# Seconds that rules and names may lag behind a Service that was just made.
_LAG = 3.0


@dataclass(frozen=True)
class ProbePod:
    """One pod of the workload."""

    name: str
    node: str
    address: str


@dataclass(frozen=True)
class Observation:
    """One line that the pod on a node printed while it looked around; `kind` says of what."""

    node: str
    kind: str
    text: str


class Workload:
    """The probe Deployment in a namespace of its own: created at once, waited for when `pods` is first read."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._failure = ""
        self._remove_leftovers()
        self.namespace = f"{NAME}-{secrets.token_hex(3)}"
        nodes = {name: node for name, node in cluster.nodes().items() if name in cluster.target.nodes}
        self.nodes = tuple(sorted(name for name, node in nodes.items() if ready(node) and takes_pods(node)))
        cluster.undo.callback(self.remove)
        manifest = json.dumps(probe_manifest(cluster.target, self.namespace, len(self.nodes)))
        try:
            cluster.answer(f"apply -f - <<'END_OF_MANIFEST'\n{manifest}\nEND_OF_MANIFEST\n", limit=30)
        except AssertionError as error:
            self._failure = str(error)

    @cached_property
    def pods(self) -> tuple[ProbePod, ...]:
        """The pods that became ready, even when others did not."""
        return () if self._failure else self._wait()

    def assert_ready(self) -> None:
        """Fail the check when not every node runs its pod."""
        assert self.pods, self._failure or "no pod became ready"
        assert self._failure == "", self._failure

    def remove(self) -> None:
        """Delete the namespace; the cluster finishes the deletion by itself within seconds."""
        with contextlib.suppress(Exception):
            self._cluster.kubectl(f"delete namespace {self.namespace} --wait=false --ignore-not-found", limit=15)

    def _remove_leftovers(self) -> None:
        """Delete namespaces of runs that no longer live: killed ones on this host, old ones of other hosts."""
        listed = json.loads(self._cluster.answer(f"get namespaces -l app={NAME} -o json"))["items"]
        active = [one for one in listed if one["status"]["phase"] == "Active"]
        dead = [name_of(one) for one in active if not has_living_owner(one["metadata"].get("annotations", {}))]
        if dead:
            self._cluster.kubectl(f"delete namespace {' '.join(dead)} --wait=false", limit=15)

    def _wait(self) -> tuple[ProbePod, ...]:
        started, target = time.monotonic(), self._cluster.target
        while True:
            pods = json.loads(self._cluster.answer(f"-n {self.namespace} get pods -o json"))["items"]
            running = [ProbePod(name_of(p), p["spec"]["nodeName"], p["status"]["podIP"]) for p in pods if ready(p)]
            running.sort(key=lambda pod: pod.node)
            if self.nodes and len(running) == len(self.nodes):
                return tuple(running)
            waited = time.monotonic() - started
            beyond = (waited - target.settle) / target.timeout_factor
            complaint = self._complaint() if beyond > _ROLLOUT_LIMIT else ""
            if not self.nodes or beyond > _rollout_limit(pods, complaint):
                self._failure = self._explain(pods, {pod.node for pod in running}, waited, complaint)
                return tuple(running)
            time.sleep(0.3)

    def _explain(self, pods: Objects, running: set[str], waited: float, complaint: str) -> str:
        missing = ", ".join(name for name in self.nodes if name not in running)
        states = ", ".join(f"{pod['spec'].get('nodeName', 'not placed')}: {state_of(pod)}" for pod in pods)
        return (
            f"no pod became ready within {waited:.0f} s on {missing or 'any node: none takes pods'}"
            f" ({states or 'no pod was made'}){complaint and f': {complaint}'}"
        )

    def _complaint(self) -> str:
        """The last event of a pod that a kubelet cannot start, in one line; empty when there is none."""
        selector = "--field-selector type=Warning,involvedObject.kind=Pod"
        result = self._cluster.kubectl(f"-n {self.namespace} get events {selector} -o json")
        events = json.loads(result.stdout)["items"] if result.rc == 0 else []
        messages = [str(one["message"]) for one in events if str(one.get("reason", "")).startswith("Failed")]
        return " ".join(messages[-1].split())[:300] if messages else ""

    @cached_property
    def observations(self) -> tuple[Observation, ...]:
        """What the pods' shells see; a look that finds a problem is repeated for a while.

        Endpoints, kube-proxy's rules and DNS follow a new Service within a second or two, not at once.
        """
        observations = self._look()
        until = time.monotonic() + max(_LAG, self._cluster.target.settle)
        while not self._is_complete(observations) and time.monotonic() < until:
            time.sleep(1)
            observations = self._look()
        return observations

    def observed(self, kind: str, node: str) -> list[str]:
        """What the pod on a node printed of one kind."""
        return _select(self.observations, kind, node)

    def _is_complete(self, observations: Sequence[Observation]) -> bool:
        names, addresses = {pod.name for pod in self.pods}, {pod.address for pod in self.pods}
        answered = {one.text for one in observations if one.kind == "service"}
        return answered == names and all(
            {line.partition(" ")[2] for line in _select(observations, "pod", pod.node)} == names
            and set(_select(observations, "named", pod.node)) <= names
            and _select(observations, "full", pod.node)[:1] == [f"{self.service_address} "]
            and set(" ".join(_select(observations, "headless", pod.node)).split()) == addresses
            for pod in self.pods
        )

    def _look(self) -> tuple[Observation, ...]:
        """Look around from every pod: one exec per pod, all at once."""
        domain = self._cluster.target.dns_domain
        script = _LOOK.format(
            addresses=" ".join(pod.address for pod in self.pods),
            port=self._cluster.target.web_port,
            calls=" ".join(str(number) for number in range(_SERVICE_CALLS)),
            service=self.service_address,
            name=f"whoami.{self.namespace}.svc.{domain}",
            headless=f"headless.{self.namespace}.svc.{domain}",
            domain=domain,
        )
        command = 'exec {name} -c shell -- sh -c "$look" 2>&1'
        output = self._for_each_pod(command, before=f"look=$(cat <<'END_OF_LOOK'\n{script}\nEND_OF_LOOK\n)\n", limit=60)
        lines = [line.split(" ", 2) for line in output if " " in line]
        return tuple(Observation(node, kind, "".join(text)) for node, kind, *text in lines)

    def _for_each_pod(self, command: str, *, before: str = "", limit: float) -> list[str]:
        """The output of a kubectl command on every pod at once, each line after its node's name."""
        runs = " ".join(
            f"(kubectl --request-timeout={limit / 2:.0f}s -n {self.namespace} {command.format(name=pod.name)}"
            f" | sed 's/^/{pod.node} /') &"
            for pod in self.pods
        )
        return list(self._cluster.shell(f"{before}{runs} wait", limit=limit).stdout.splitlines())

    @cached_property
    def service_address(self) -> str:
        """The cluster IP of the workload's Service."""
        return self._cluster.answer(f"-n {self.namespace} get service whoami -o jsonpath={{.spec.clusterIP}}").strip()

    def unreadable_logs(self) -> dict[str, str]:
        """Why the log of a node's pod cannot be read, by node; empty when all can."""
        lines = self._for_each_pod("logs {name} -c web --tail=1 2>&1 >/dev/null", limit=30)
        return dict(line.partition(" ")[::2] for line in lines)

    def unreachable_from_node(self) -> list[str]:
        """The nodes whose pods the control plane's machine itself cannot reach."""
        port = self._cluster.target.web_port
        calls = " ".join(
            f"(curl -s -m 4 -o /dev/null http://{p.address}:{port}/ || echo {p.node}) &" for p in self.pods
        )
        return sorted(self._cluster.shell(f"{calls} wait").stdout.split())


def _select(observations: Sequence[Observation], kind: str, node: str) -> list[str]:
    return [one.text for one in observations if (one.kind, one.node) == (kind, node)]


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


def _rollout_limit(pods: Objects, complaint: str) -> float:
    """Seconds after which pods that are not ready will not be: a kubelet at work without a complaint gets longest."""
    if not any("nodeName" in pod["spec"] for pod in pods):
        return _PLACING_LIMIT
    states = {state_of(pod) for pod in pods if not ready(pod)}
    return _BUSY_LIMIT if states == {"ContainerCreating"} and not complaint else _ROLLOUT_LIMIT
