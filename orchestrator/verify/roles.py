"""Which roles' checks belong to a lab: those of the roles that its playbooks run on the node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OF_KUBERNETES = ("kubernetes_packages", "kubernetes_repo")
_OF_CONTROL_PLANE = ("kubeadm_init", "kubeconfig", "lab_materials", "cluster_dns", "calico")
_OF_WORKERS = ("kubeadm_join",)
_OF_RUNTIME = ("docker", "containerd")


def role_of(path: Path) -> str:
    """The role whose test file this is, empty when it belongs to none."""
    parts = path.parts
    return parts[-3] if len(parts) > 2 and parts[-2] == "tests" and parts[-4] == "roles" else ""


def belongs(role: str, variables: Mapping[str, Any]) -> bool:
    """Whether the playbooks run this role on a node with these inventory variables."""
    groups = variables.get("group_names", ())
    runtime = variables.get("container_runtime")
    kubernetes = "kubernetes_packages_version" in variables
    if role in _OF_RUNTIME:
        return kubernetes and role == runtime
    if role == "cri_dockerd":
        # The kubelet talks to Docker by itself up to 1.23; from then on through this socket.
        return kubernetes and "cri-dockerd" in str(variables.get("kubeadm_init_cri_socket", ""))
    if role in ("bridge_cni", "calico") and role != variables.get("cluster_cni"):
        return False
    if role in _OF_CONTROL_PLANE:
        return kubernetes and "control_plane" in groups
    if role in _OF_WORKERS:
        return kubernetes and "workers" in groups
    return kubernetes or role not in (*_OF_KUBERNETES, "bridge_cni")
