"""What the drill kube-proxy-missing wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.new_service", layer="network")
def test_the_new_service_answers(cluster):
    address = cluster.answer("-n drill get service web -o jsonpath={.spec.clusterIP}").strip()
    done = cluster.kubectl(f"-n drill exec shell -- curl -s -m 3 http://{address}")
    assert done.stdout.strip() == "web", f"no answer from {address}"
