"""What the drill nodeport-blocked wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.node_port", layer="network")
def test_every_node_answers(cluster):
    silent = [
        name
        for name, address in cluster.target.nodes.items()
        if cluster.host.run(f"curl -s -m 3 -o /dev/null http://{address}:30081").rc != 0
    ]
    assert not silent, f"no answer on {', '.join(silent)}"
