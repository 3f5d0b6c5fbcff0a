"""What the drill certificate-expiring wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.chain", layer="control_plane")
def test_the_certificate_is_the_clusters_own(cluster):
    pki = "/etc/kubernetes/pki"
    done = cluster.host.run(f"openssl verify -CAfile {pki}/front-proxy-ca.crt {pki}/front-proxy-client.crt")
    assert done.rc == 0, done.stderr.strip().splitlines()[-1]
