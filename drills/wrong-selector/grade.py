"""What the drill wrong-selector wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.endpoints", layer="network")
def test_the_service_has_pods(cluster):
    found = cluster.answer("-n drill get endpoints shop -o 'jsonpath={.subsets[*].addresses[*].ip}'").split()
    assert len(found) == 2, f"it has {len(found)} endpoints"


@pytest.mark.check(id="drill.answers", layer="network")
def test_the_service_answers(cluster):
    address = cluster.answer("-n drill get service shop -o jsonpath={.spec.clusterIP}").strip()
    done = cluster.host.run(f"curl -s -m 3 http://{address}")
    assert done.stdout.startswith("shop-"), f"{address} does not answer"
