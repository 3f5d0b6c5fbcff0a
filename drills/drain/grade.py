"""What the drill drain wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.four", layer="workload")
def test_four_pods_are_ready(cluster):
    status = json.loads(cluster.answer("-n drill get deployment echo -o json"))["status"]
    assert status.get("readyReplicas", 0) == 4, f"{status.get('readyReplicas', 0)} pods are ready"


@pytest.mark.check(id="drill.none_on_worker", layer="workload")
def test_the_worker_is_empty(cluster):
    worker = list(cluster.target.nodes)[-1]
    nodes = cluster.answer("-n drill get pods -l app=echo -o 'jsonpath={.items[*].spec.nodeName}'").split()
    assert worker not in nodes, f"{nodes.count(worker)} pods are on {worker}"
