"""What the drill taint-toleration wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.blue", layer="workload")
def test_blue_runs(cluster):
    assert cluster.ready_pods("drill", "blue") == 1, "its pod is not ready"
    worker = list(cluster.target.nodes)[-1]
    nodes = cluster.answer("-n drill get pods -l app=blue -o 'jsonpath={.items[*].spec.nodeName}'").split()
    assert set(nodes) == {worker}, f"it runs on {', '.join(nodes)}"


@pytest.mark.check(id="drill.taint", layer="control_plane")
def test_the_taint_stays(cluster):
    worker = list(cluster.target.nodes)[-1]
    taints = json.loads(cluster.answer(f"get node {worker} -o json"))["spec"].get("taints", [])
    assert any(one["key"] == "team" and one["effect"] == "NoSchedule" for one in taints), "the taint is gone"
