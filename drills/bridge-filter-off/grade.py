"""What the drill bridge-filter-off wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.service_from_same_node", layer="workload")
def test_the_service_answers_the_pod_beside_it(cluster):
    address = cluster.answer("-n drill get service web -o jsonpath={.spec.clusterIP}").strip()
    answer = cluster.kubectl(f"-n drill exec shell -- curl -s -m 3 http://{address}")
    assert answer.stdout.strip() == "web", f"no answer from {address}"


@pytest.mark.check(id="drill.pods_kept", layer="workload")
def test_the_pods_stay_where_they_are(cluster):
    nodes = cluster.answer("-n drill get pods shell web -o 'jsonpath={.items[*].spec.nodeName}'").split()
    worker = list(cluster.target.nodes)[-1]
    assert nodes == [worker, worker], f"the pods are on {', '.join(nodes)}"
