"""What the drill create-and-delete wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.was_created", layer="workload")
def test_the_deployment_made_a_pod(cluster):
    events = json.loads(cluster.answer("-n drill get events -o json"))["items"]
    made = [one for one in events if one["reason"] == "ScalingReplicaSet" and one["involvedObject"]["name"] == "hello"]
    assert made, "no Deployment hello has made a pod yet"


@pytest.mark.check(id="drill.gone", layer="workload")
def test_nothing_is_left(cluster):
    left = cluster.answer("-n drill get deployments,replicasets,pods -l app=hello -o name").split()
    assert not left, f"still there: {', '.join(left)}"
