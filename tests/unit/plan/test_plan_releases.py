"""Every release of the catalog can be planned with what docs/tested.md calls rendered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator import catalog
from orchestrator.catalog import tested
from orchestrator.catalog.tested import Combination
from orchestrator.observed import Observed, SourceContent
from orchestrator.plan import plan
from orchestrator.spec import parse

RENDERED = [item for item in tested.combinations(catalog.load(), tested.evidence()) if item.evidence is not None]


@pytest.mark.parametrize("item", RENDERED, ids=lambda item: f"{item.release.minor}-{item.runtime}-{item.cni}")
def test_what_is_called_rendered_is_planned(item: Combination, observe: Callable[..., Observed]) -> None:
    release = item.release
    content = SourceContent(
        "b",
        release.newest_patch,
        has_calico=True,
        has_coredns=True,
        has_cri_dockerd=True,
        has_crictl=True,
        containerd="2.1.0",
    )
    text = f"kubernetes: {{version: '{release.newest_patch}', runtime: {item.runtime}, cni: {item.cni}}}"
    lab = plan(parse(text), catalog.load(), observe(bundles=(content,), cgroup=release.cgroup_modes[0]))
    kubernetes = lab.kubernetes
    assert kubernetes is not None
    assert (kubernetes.version, kubernetes.runtime, kubernetes.cni) == (release.newest_patch, item.runtime, item.cni)
    assert kubernetes.config_api == release.config_api
    assert kubernetes.image_registry == "registry.k8s.io"
    assert (kubernetes.cni_version is None) == (item.cni == "bridge_cni")
