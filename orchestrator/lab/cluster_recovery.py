"""How a cluster whose machines were brought back comes to itself: what to wait for before it is worth a proof."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator import proc
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv
from orchestrator.lab.state import Lab

REPORT_SECONDS = 90.0
NODE_LEASES = ("leases", "--namespace=kube-node-lease")
OWN_PODS = ("pods", "--namespace=kube-system")
LEADERS = ("kube-controller-manager", "kube-scheduler")
OWN_ENDPOINTS = ("endpoints", "--namespace=kube-system")


def wait(lab: Lab, saved: float) -> None:
    """Return when every kubelet reports and the cluster's own pods, started anew, are those that Services lead to.

    It ends as well when that takes too long. What the API server says is from before `saved`, so that a proof begun at
    once fails and is done twice. What does not come up is the proof's to tell.
    """
    first: dict[str, str] | None = None
    nodes = {node.name for node in lab.plan.nodes}
    deadline = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < deadline:
        leases = {item["metadata"]["name"]: item["spec"]["renewTime"] for item in _items(lab, NODE_LEASES)}
        if leases and first is None:
            first = leases
            _release_leadership(lab)
        # A lease that changed was renewed by a kubelet that lives; its time would depend on two clocks.
        reporting = {name for name, at in leases.items() if at != (first or {}).get(name)}
        if nodes <= reporting:
            pods = _items(lab, OWN_PODS)
            if started(pods, saved) and followed(_items(lab, OWN_ENDPOINTS), pods):
                return
        time.sleep(0.5)


def _release_leadership(lab: Lab) -> None:
    """Let the new controller manager and scheduler lead: the leases of those that were saved would run out first."""
    _kubectl(lab, "--namespace=kube-system", "delete", "--ignore-not-found", "lease", *LEADERS)


def started(pods: Sequence[Mapping[str, Any]], saved: float) -> bool:
    """Whether every container of these pods is ready and was started after `saved`."""
    states = [state for pod in pods for state in pod["status"].get("containerStatuses", [])]
    since = datetime.fromtimestamp(saved, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return bool(states) and all(
        state["ready"] and state["state"].get("running", {}).get("startedAt", "") > since for state in states
    )


def followed(endpoints: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether Services lead to the addresses that pods have now: a pod that is started anew gets another one.

    Names are not found before; it is the controller manager that brings it about.
    """
    now = {pod["status"].get("podIP") for pod in pods}
    subsets = [subset for item in endpoints for subset in item.get("subsets") or ()]
    ready = {address["ip"] for subset in subsets for address in subset.get("addresses") or ()}
    return bool(ready) and ready <= now


def _items(lab: Lab, what: Sequence[str]) -> list[dict[str, Any]]:
    """Objects of the cluster; none while the API server does not answer."""
    answer = _kubectl(lab, "get", *what, "-o", "json")
    return list(json.loads(answer.stdout)["items"]) if answer.ok else []


def _kubectl(lab: Lab, *arguments: str) -> proc.Result:
    argv = [*kubectl_argv(lab), "--request-timeout=5s", *arguments]
    return proc.run(argv, check=False, timeout=20, env={"KUBECONFIG": str(kubeconfig_path(lab))})
