"""What the drill power-cut wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.four", layer="workload")
def test_four_pods_are_ready(cluster):
    status = json.loads(cluster.answer("-n drill get deployment echo -o json"))["status"]
    assert status.get("readyReplicas", 0) == 4, f"{status.get('readyReplicas', 0)} pods are ready"
