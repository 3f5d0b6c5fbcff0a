"""What the drill scheduler-gone wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.placed", layer="workload")
def test_the_deployment_is_ready(cluster):
    status = json.loads(cluster.answer("-n drill get deployment waiting -o json"))["status"]
    assert status.get("readyReplicas", 0) == 2, f"{status.get('readyReplicas', 0)} of 2 pods are ready"
