"""What the drill kubelet-down wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.pod_gone", layer="workload")
def test_the_pod_is_gone(cluster):
    found = cluster.answer("-n drill get pod nginx --ignore-not-found -o name").strip()
    assert not found, "the pod nginx is still there"
