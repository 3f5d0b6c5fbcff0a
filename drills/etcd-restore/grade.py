"""What the drill etcd-restore wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_back(cluster):
    deployment = json.loads(cluster.answer("-n drill get deployment shop -o json"))
    kept = deployment["metadata"].get("annotations", {}).get("labctl.drill/first")
    assert kept == "yes", "this Deployment shop is another one: it is not from the backup"
    ready = cluster.ready_pods("drill", "shop")
    assert ready == 2, f"{ready} of 2 pods are ready"
