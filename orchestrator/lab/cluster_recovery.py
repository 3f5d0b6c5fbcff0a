"""Waits for a cluster whose machines were restored: when it is worth being verified."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator.lab.kubectl import read_objects, run_kubectl
from orchestrator.lab.state import Lab

REPORT_SECONDS = 90.0
NODE_LEASES = ("leases", "--namespace=kube-node-lease")
SYSTEM_PODS = ("pods", "--namespace=kube-system")
SYSTEM_ENDPOINTS = ("endpoints", "--namespace=kube-system")
LEADERS = ("kube-controller-manager", "kube-scheduler")


def wait_until_recovered(lab: Lab, saved: float) -> None:
    """Return when every kubelet reports and Services lead to the system pods that were restarted after `saved`.

    Also returns when that takes too long: verification says then what is missing. It cannot replace this wait,
    because the API server still reports the state from before `saved` for a while.
    """
    first: dict[str, str] | None = None
    nodes = {node.name for node in lab.plan.nodes}
    deadline = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < deadline:
        leases = {item["metadata"]["name"]: item["spec"]["renewTime"] for item in read_objects(lab, *NODE_LEASES)[0]}
        if leases and first is None:
            first = leases
            # The leases of the saved controller manager and scheduler would have to run out first.
            run_kubectl(lab, "--namespace=kube-system", "delete", "--ignore-not-found", "lease", *LEADERS, check=False)
        # A lease that changed was renewed by a kubelet that lives; its time would depend on two clocks.
        reporting = {name for name, at in leases.items() if at != (first or {}).get(name)}
        if nodes <= reporting:
            pods, _ = read_objects(lab, *SYSTEM_PODS)
            if pods_restarted(pods, saved) and endpoints_current(read_objects(lab, *SYSTEM_ENDPOINTS)[0], pods):
                return
        time.sleep(0.5)


def pods_restarted(pods: Sequence[Mapping[str, Any]], saved: float) -> bool:
    """Whether every container of these pods is ready and was started after `saved`."""
    states = [state for pod in pods for state in pod["status"].get("containerStatuses", [])]
    since = datetime.fromtimestamp(saved, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return bool(states) and all(
        state["ready"] and state["state"].get("running", {}).get("startedAt", "") > since for state in states
    )


def endpoints_current(endpoints: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether Services lead to the addresses that pods have now: a restarted pod gets another one.

    Names do not resolve before; the controller manager brings it about. Without a pod network no pod has one.
    """
    if not any(_is_on_pod_network(pod) for pod in pods):
        return True
    current = {pod["status"].get("podIP") for pod in pods}
    subsets = [subset for item in endpoints for subset in item.get("subsets") or ()]
    ready = {address["ip"] for subset in subsets for address in subset.get("addresses") or ()}
    return bool(ready) and ready <= current


def _is_on_pod_network(pod: Mapping[str, Any]) -> bool:
    """Whether a pod was started with an address of its own, not of its node."""
    return bool(pod["status"].get("containerStatuses")) and not pod.get("spec", {}).get("hostNetwork")
