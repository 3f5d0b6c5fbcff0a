"""What the drill forwarding-off wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.answers", layer="network")
def test_the_pod_answers_the_control_plane(cluster):
    address = cluster.answer("-n drill get pod web -o jsonpath={.status.podIP}").strip()
    done = cluster.host.run(f"curl -s -m 3 http://{address}")
    assert done.stdout.strip() == "web", f"no answer from {address}"


@pytest.mark.check(id="drill.same_pod", layer="workload")
def test_it_is_the_same_pod(cluster):
    found = cluster.answer("-n drill get pods -l labctl.drill/first=yes -o name").split()
    assert found == ["pod/web"], "the pod web is another one"
