"""What the drill controller-manager-gone wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.three", layer="workload")
def test_three_pods_are_ready(cluster):
    # Not by the Deployment's status: the controller manager keeps that, and it is gone.
    pods = json.loads(cluster.answer("-n drill get pods -l app=echo -o json"))["items"]
    ready = [
        pod
        for pod in pods
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    ]
    assert len(ready) == 3, f"{len(ready)} pods are ready"
