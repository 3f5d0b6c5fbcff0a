"""What the drill scheduler-gone wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.placed", layer="workload")
def test_the_deployment_is_ready(cluster):
    ready = cluster.ready_pods("drill", "waiting")
    assert ready == 2, f"{ready} of 2 pods are ready"
