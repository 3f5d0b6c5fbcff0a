"""What the community would publish, for tests that plan on it."""

from __future__ import annotations

from orchestrator import catalog
from orchestrator.catalog.versions import within
from orchestrator.model import BundleOrigin
from orchestrator.observed import BuildableBundle, SourceContent


def published(
    reason: str = "", origin: BundleOrigin = "community", containerd: str = ""
) -> tuple[BuildableBundle, ...]:
    """The newest patch of every minor, newest first; `reason` says why none can be had."""
    known = catalog.load()
    return tuple(
        BuildableBundle(
            SourceContent(
                f"{origin}-{release.newest_patch}",
                release.newest_patch,
                images=("docker.io/cloudnativelabs/kube-router:v2.1.0",),
                has_calico=any(within(release.minor, one.kubernetes) for one in known.calico),
                has_coredns=True,
                has_crictl=True,
                containerd=containerd or known.community.containerd,
                guest="debian-12",
            ),
            origin,
            not reason,
            reason,
            seconds=240,
            disk=8000,
        )
        for release in reversed(known.community_releases)
    )
