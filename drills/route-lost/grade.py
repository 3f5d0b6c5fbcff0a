"""What the drill route-lost wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.pods_talk", layer="network")
def test_the_pods_talk(cluster):
    address = cluster.answer("-n drill get pod web -o jsonpath={.status.podIP}").strip()
    done = cluster.kubectl(f"-n drill exec shell -- curl -s -m 3 http://{address}")
    assert done.stdout.strip() == "web", f"no answer from {address}"
