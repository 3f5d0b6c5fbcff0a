"""The manifest of the probe workload, and whose run a probe namespace belongs to."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .job import ClusterTarget

NAME = "labctl-verify"
TOLERATED_TAINTS = ("node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane")
# Seconds for which a namespace of another host counts as in use.
_LIFETIME = 600


def probe_manifest(target: ClusterTarget, namespace: str, replicas: int) -> dict[str, Any]:
    """A namespace with a Deployment of one pod per node, a Service and a headless Service.

    Each pod holds a web server that answers with the pod's name and a shell to look around from.
    """
    labels = {"app": NAME}
    probe = {"tcpSocket": {"port": target.web_port}, "periodSeconds": 1}
    spread = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    pod = {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [
            {"name": "web", "image": target.web_image, "readinessProbe": probe},
            {"name": "shell", "image": target.shell_image, "command": ["sleep", str(_LIFETIME)]},
        ],
        "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in TOLERATED_TAINTS],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [spread]}},
    }
    deployment = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    service = {"selector": labels, "ports": [{"port": 80, "targetPort": target.web_port}]}

    def item(kind: str, name: str, spec: dict[str, Any], version: str = "v1") -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}

    metadata = {"name": namespace, "labels": labels, "annotations": _owner()}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            item("Deployment", "whoami", deployment, "apps/v1"),
            item("Service", "whoami", service),
            item("Service", "headless", {**service, "clusterIP": "None"}),
        ],
    }


def _owner() -> dict[str, str]:
    return {
        "labctl/host": socket.gethostname(),
        "labctl/pid": str(os.getpid()),
        "labctl/until": f"{time.time() + _LIFETIME:.0f}",
    }


def has_living_owner(annotations: Mapping[str, str]) -> bool:
    """Whether the run that made a namespace may still use it."""
    if annotations.get("labctl/host") != socket.gethostname():
        return float(annotations.get("labctl/until", "0")) > time.time()
    pid = annotations.get("labctl/pid", "")
    return pid.isdigit() and Path("/proc", pid).exists()


def takes_pods(node: Mapping[str, Any]) -> bool:
    """Whether ordinary pods, and ours that tolerate the control plane's own taint, are placed on a node."""
    taints = [one["key"] for one in node["spec"].get("taints", []) if one["effect"] != "PreferNoSchedule"]
    return not node["spec"].get("unschedulable") and all(key in TOLERATED_TAINTS for key in taints)
