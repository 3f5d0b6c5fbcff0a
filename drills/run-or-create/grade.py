"""What the drill run-or-create wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.single", layer="workload")
def test_a_bare_pod_is_there(cluster):
    pod = json.loads(cluster.answer("-n drill get pod single -o json"))
    assert not pod["metadata"].get("ownerReferences"), "the pod single belongs to something"


@pytest.mark.check(id="drill.managed", layer="workload")
def test_a_deployment_is_there(cluster):
    assert cluster.ready_pods("drill", "managed") >= 1, "its pod is not ready"


@pytest.mark.check(id="drill.answers", layer="workload")
def test_both_answer(cluster):
    addresses = [cluster.answer("-n drill get pod single -o jsonpath={.status.podIP}").strip()]
    addresses += cluster.answer("-n drill get pods -l app=managed -o 'jsonpath={.items[*].status.podIP}'").split()
    assert len(addresses) > 1, "there are not two pods"
    for address in addresses:
        assert cluster.host.run(f"curl -s -m 3 -o /dev/null http://{address}").rc == 0, f"{address} does not answer"
