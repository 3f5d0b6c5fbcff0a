"""What the drill cordon-and-scale wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.nine", layer="workload")
def test_nine_pods_are_ready(cluster):
    ready = cluster.ready_pods("drill", "echo")
    assert ready == 9, f"{ready} pods are ready"


@pytest.mark.check(id="drill.kept_off", layer="workload")
def test_new_pods_kept_off_the_worker(cluster):
    worker = list(cluster.target.nodes)[-1]
    nodes = cluster.answer("-n drill get pods -l app=echo -o 'jsonpath={.items[*].spec.nodeName}'").split()
    assert nodes.count(worker) <= 2, f"{nodes.count(worker)} pods are on {worker}"
