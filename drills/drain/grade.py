"""What the drill drain wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.four", layer="workload")
def test_four_pods_are_ready(cluster):
    ready = cluster.ready_pods("drill", "echo")
    assert ready == 4, f"{ready} pods are ready"


@pytest.mark.check(id="drill.none_on_worker", layer="workload")
def test_the_worker_is_empty(cluster):
    worker = list(cluster.target.nodes)[-1]
    nodes = cluster.answer("-n drill get pods -l app=echo -o 'jsonpath={.items[*].spec.nodeName}'").split()
    assert worker not in nodes, f"{nodes.count(worker)} pods are on {worker}"
