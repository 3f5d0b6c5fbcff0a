"""What the role kubernetes_repo promises about a node."""

import pytest

SHOW = (
    "cat /etc/apt/sources.list.d/kubernetes.sources /etc/yum.repos.d/kubernetes.repo 2>/dev/null; "
    "head -n1 /etc/apt/keyrings/kubernetes.asc /etc/pki/rpm-gpg/RPM-GPG-KEY-kubernetes 2>/dev/null || true"
)


def test_the_repository_is_configured_and_its_signature_is_checked(host, lab_vars):
    if "kubernetes_packages_version" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")
    text = host.check_output(SHOW)
    signed = "Signed-By: /etc/apt/keyrings/kubernetes.asc" in text or "repo_gpgcheck=1" in text
    assert signed, "the Kubernetes repository is missing or its signature is not checked"
    assert "BEGIN PGP PUBLIC KEY BLOCK" in text, "the signing key is missing"
