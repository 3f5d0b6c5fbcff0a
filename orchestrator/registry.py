"""The registry of a lab: where it listens, and the images that it is filled with."""

from __future__ import annotations

from typing import Any

from orchestrator.model import KubernetesPlan, Plan

PORT = 5000
# Every bundle has them; the registry offers them under further names too.
TEACHING_IMAGES = {
    "labctl/nginx:1.22": ("nginx:latest",),
    "labctl/whoami:1": ("sysnet4admin/echo-hname:latest",),
    "labctl/shell:1": (),
}
_ABOUT = "a teaching image of labctl under this name only here"


def variables(plan: Plan, kubernetes: KubernetesPlan) -> dict[str, Any]:
    """What the role registry and that of the container runtime are told; nothing for a lab without a registry."""
    if not plan.registry:
        return {}
    images = [{"image": image, "names": [image, *names], "about": _ABOUT} for image, names in TEACHING_IMAGES.items()]
    return {
        "registry_address": plan.control_plane.address,
        "registry_port": PORT,
        "registry_runtime": kubernetes.runtime,
        "registry_images": images,
        f"{kubernetes.runtime}_registry": f"{plan.control_plane.address}:{PORT}",
    }
