"""What the drill crash-loop wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    status = json.loads(cluster.answer("-n drill get deployment shop -o json"))["status"]
    assert status.get("readyReplicas", 0) == 1, f"{status.get('readyReplicas', 0)} of 1 pods are ready"
