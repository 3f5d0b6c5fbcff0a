"""What the drill quota wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    status = json.loads(cluster.answer("-n drill get deployment shop -o json"))["status"]
    assert status.get("readyReplicas", 0) == 4, f"{status.get('readyReplicas', 0)} of 4 pods are ready"


@pytest.mark.check(id="drill.limit", layer="workload")
def test_the_limit_is_four(cluster):
    found = cluster.answer("-n drill get resourcequota small -o jsonpath={.spec.hard.pods}").strip()
    assert found == "4", f"it allows {found} pods"
