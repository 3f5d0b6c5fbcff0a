"""What the drill readiness-probe wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    ready = cluster.ready_pods("drill", "shop")
    assert ready == 2, f"{ready} of 2 pods are ready"


@pytest.mark.check(id="drill.probed", layer="workload")
def test_the_pods_are_probed(cluster):
    pod = json.loads(cluster.answer("-n drill get deployment shop -o json"))["spec"]["template"]["spec"]
    assert pod["containers"][0].get("readinessProbe"), "the readiness probe is gone"


@pytest.mark.check(id="drill.endpoints", layer="network")
def test_the_service_has_pods(cluster):
    found = cluster.answer("-n drill get endpoints shop -o 'jsonpath={.subsets[*].addresses[*].ip}'").split()
    assert len(found) == 2, f"it has {len(found)} endpoints"
