"""What the drill wrong-node-ip wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.logs", layer="kubelet")
def test_the_log_can_be_read(cluster):
    done = cluster.kubectl("-n drill --request-timeout=5s logs web", limit=30)
    assert done.rc == 0, done.stderr.strip().splitlines()[-1]
