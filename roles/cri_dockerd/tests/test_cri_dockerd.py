"""What the role cri_dockerd promises about a node."""

import pytest


def test_the_socket_of_cri_dockerd_answers(host, lab_vars):
    if "cri_dockerd_version" not in lab_vars:
        pytest.skip("not applicable: this Kubernetes needs no cri-dockerd")
    text = host.check_output(
        "systemctl is-active cri-docker.socket cri-docker.service; ls /var/run/cri-dockerd.sock; true"
    )
    assert text.split() == ["active", "active", "/var/run/cri-dockerd.sock"], text
