"""What the drill forgotten-cordon wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    ready = cluster.ready_pods("drill", "shop")
    assert ready == 1, f"{ready} of 1 pods are ready"
