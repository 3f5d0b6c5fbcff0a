"""What a role's check needs from another check: without that, it would only repeat the other's failure.

labctl's own checks say it in their mark (`after=`). A role knows nothing of the checks around it, so this table
speaks for it.
"""

from __future__ import annotations

from collections.abc import Mapping

_API = ("control_plane.api",)

PREREQUISITES: Mapping[str, tuple[str, ...]] = {
    "calico.configuration": _API,
    "calico.pool": _API,
    "cluster_dns.answers": (*_API, "cluster_dns.service"),
    "cluster_dns.replicas": _API,
    "cluster_dns.service": _API,
    "containerd.cgroup_driver": ("containerd.running",),
    "containerd.images": ("containerd.running",),
    "docker.cgroup_driver": ("docker.running",),
    "docker.images": ("docker.running",),
    "kubeconfig.kubectl": _API,
}
