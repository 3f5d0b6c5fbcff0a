"""What the drill quota wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    ready = cluster.ready_pods("drill", "shop")
    assert ready == 4, f"{ready} of 4 pods are ready"


@pytest.mark.check(id="drill.limit", layer="workload")
def test_the_limit_is_four(cluster):
    found = cluster.answer("-n drill get resourcequota small -o jsonpath={.spec.hard.pods}").strip()
    assert found == "4", f"it allows {found} pods"
