"""What the drill disk-pressure wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_pod_runs_where_it_belongs(cluster):
    deployment = json.loads(cluster.answer("-n drill get deployment shop -o json"))
    worker = list(cluster.target.nodes)[-1]
    wanted = deployment["spec"]["template"]["spec"].get("nodeSelector", {}).get("kubernetes.io/hostname")
    assert wanted == worker, "the Deployment was changed: its pod may run elsewhere"
    ready = deployment["status"].get("readyReplicas", 0)
    assert ready == 1, f"{ready} of 1 pods are ready"
