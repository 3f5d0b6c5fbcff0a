"""What the drill power-cut wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.four", layer="workload")
def test_four_pods_are_ready(cluster):
    ready = cluster.ready_pods("drill", "echo")
    assert ready == 4, f"{ready} pods are ready"
