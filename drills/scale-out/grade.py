"""What the drill scale-out wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.three", layer="workload")
def test_the_deployment_has_three_pods(cluster):
    ready = cluster.ready_pods("drill", "managed")
    assert ready == 3, f"{ready} pods are ready"


@pytest.mark.check(id="drill.single_kept", layer="workload")
def test_the_bare_pod_is_as_it_was(cluster):
    pod = json.loads(cluster.answer("-n drill get pod single -o json"))
    assert not pod["metadata"].get("ownerReferences"), "the pod single belongs to something now"
