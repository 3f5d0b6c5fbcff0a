"""The cluster as its API server describes it, read with kubectl through the control plane's session."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from .conditions import none_installed, ready
from .job import ClusterTarget

_REQUEST_LIMIT = 15.0
# Between two looks at what is still starting.
POLL = 0.4
# What a container runtime reads as the configuration of a pod network.
_CONFIGURATIONS = r"ls /etc/cni/net.d 2>/dev/null | grep -E '\.(conf|conflist|json)$' || true"

Objects = list[dict[str, Any]]


class Cluster:
    """One run's view of a cluster: the objects are listed once, and `close` removes what the run created."""

    def __init__(self, host: Any, target: ClusterTarget) -> None:
        self.host = host
        self.target = target
        self.undo = ExitStack()
        self._cached: dict[str, Any] = {}
        self._settle_until = time.monotonic() + target.settle

    def shell(self, script: str, *, limit: float = 20) -> Any:
        """Run a shell script as root on the control plane, kubectl's configuration at hand."""
        return self.host.run("export KUBECONFIG=/etc/kubernetes/admin.conf; " + script, limit=limit)

    def kubectl(self, arguments: str, *, limit: float = 20) -> Any:
        """Run kubectl on the control plane; the arguments are shell text."""
        return self.host.run(self._kubectl(_REQUEST_LIMIT) + arguments, limit=limit)

    def _kubectl(self, request_limit: float) -> str:
        seconds = f"{request_limit * self.target.timeout_factor:.0f}s"
        return f"KUBECONFIG=/etc/kubernetes/admin.conf kubectl --request-timeout={seconds} "

    def answer(self, arguments: str, *, limit: float = 20) -> str:
        """What kubectl prints; fails the check with kubectl's own error when it does not succeed."""
        result = self.kubectl(arguments, limit=limit)
        message = ([line for line in result.stderr.splitlines() if line.strip()] or ["no message"])[-1]
        assert result.rc == 0, f"`kubectl {arguments.split('<<')[0].strip()}` failed: {message}"
        return str(result.stdout)

    def settled(self, find_problem: Callable[[], str]) -> None:
        """Fail with the sentence that `find_problem` returns, if it still does when the time to settle is over."""
        while problem := find_problem():
            if time.monotonic() >= self._settle_until:
                raise AssertionError(problem)
            time.sleep(POLL)
            self._cached.clear()

    def objects(self, kind: str) -> Objects:
        """The objects of a kind (`Node`, `Pod`, ...), from one listing for all checks of a run."""
        if "state" not in self._cached:
            listed = self.answer("get nodes,pods,deployments,daemonsets,services,endpoints,leases -A -o json")
            self._cached["state"] = json.loads(listed)["items"]
        return [one for one in self._cached["state"] if one["kind"] == kind]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The cluster's nodes by name."""
        return {one["metadata"]["name"]: one for one in self.objects("Node")}

    def pods(self, namespace: str = "kube-system", **labels: str) -> Objects:
        """A namespace's pods that carry these labels and are not being deleted; `_` in a name stands for `-`."""
        selector = {name.replace("_", "-"): value for name, value in labels.items()}.items()
        return [
            pod
            for pod in self.objects("Pod")
            if (metadata := pod["metadata"])["namespace"] == namespace
            and "deletionTimestamp" not in metadata
            and selector <= metadata.get("labels", {}).items()
        ]

    def lacks_pod_network(self) -> bool:
        """Whether the lab leaves the pod network to its user, and neither nodes nor files show one.

        With a configuration that the runtime cannot use the nodes say what they say without one.
        """
        if self.target.cni != "none" or not none_installed(self.nodes().values()):
            return False
        if "configurations" not in self._cached:
            self._cached["configurations"] = self.host.run(_CONFIGURATIONS).stdout.split()
        return not self._cached["configurations"]

    def is_responsive(self) -> bool:
        """Whether the API server answers within three seconds and calls itself ready."""
        return bool(self.host.run(f"{self._kubectl(3)}get --raw /readyz", limit=6).rc == 0)

    def close(self) -> None:
        """Remove what this run made in the cluster."""
        self.undo.close()


def settles(find_problem: Callable[..., str]) -> Callable[..., None]:
    """A test that fails with the sentence this function returns of a cluster that had its time to settle."""

    @functools.wraps(find_problem)
    def test(cluster: Cluster, **fixtures: Any) -> None:
        cluster.settled(lambda: find_problem(cluster=cluster, **fixtures))

    return test


def name_of(thing: dict[str, Any]) -> str:
    """The name of an object."""
    return str(thing["metadata"]["name"])


def state_of(pod: dict[str, Any]) -> str:
    """What a pod does, in the word that `kubectl get pods` shows: Running, CrashLoopBackOff, ..."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        for kind in ("waiting", "terminated"):
            reason = container.get("state", {}).get(kind, {}).get("reason")
            if reason:
                return str(reason)
    phase = str(pod.get("status", {}).get("phase", "Unknown"))
    return phase if phase != "Running" or ready(pod) else "Running but not ready"
