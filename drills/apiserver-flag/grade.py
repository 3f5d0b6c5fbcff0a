"""What the drill apiserver-flag wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.option", layer="control_plane")
def test_the_option_is_set(cluster):
    found = cluster.host.run(
        "grep -c -e '--enable-admission-plugins=NodeRestriction' /etc/kubernetes/manifests/kube-apiserver.yaml"
    )
    assert found.stdout.strip() == "1", "--enable-admission-plugins=NodeRestriction is not among its options"
