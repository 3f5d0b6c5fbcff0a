"""Checks of the pods that Kubernetes itself runs."""

from __future__ import annotations

from orchestrator.verify.cluster import Cluster, name_of, settles, state_of
from orchestrator.verify.conditions import ready


@settles
def test_system_pods(cluster: Cluster) -> str:
    can_start = cluster.pods()
    if cluster.lacks_pod_network():
        can_start = [pod for pod in can_start if pod["spec"].get("hostNetwork")]
    return "; ".join(
        f"{name_of(pod)} is {state_of(pod)}"
        for pod in can_start
        if pod.get("status", {}).get("phase") != "Succeeded" and not ready(pod)
    )
