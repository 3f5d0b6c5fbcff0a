"""What the drill dns-gone wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.name", layer="dns")
def test_the_name_works(cluster):
    done = cluster.kubectl("-n drill exec shell -- curl -s -m 5 http://web")
    assert done.stdout.strip() == "web", "the name web leads nowhere"
