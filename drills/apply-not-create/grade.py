"""What the drill apply-not-create wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.six", layer="workload")
def test_six_pods_are_ready(cluster):
    ready = cluster.ready_pods("drill", "echo")
    assert ready == 6, f"{ready} pods are ready"


@pytest.mark.check(id="drill.applied", layer="workload")
def test_they_were_applied(cluster):
    about = json.loads(cluster.answer("-n drill get deployment echo -o json"))["metadata"]
    kept = about.get("annotations", {}).get("kubectl.kubernetes.io/last-applied-configuration", "{}")
    assert json.loads(kept).get("spec", {}).get("replicas") == 6, "no file with 6 replicas was applied"
