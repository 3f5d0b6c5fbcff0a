"""What the role cri_dockerd promises about a node."""

import json
import re

import pytest

SOCKET = "unix:///var/run/cri-dockerd.sock"


@pytest.fixture(autouse=True)
def _where_it_is_used(lab_vars):
    if "cri_dockerd_pause_image" not in lab_vars:
        pytest.skip("not applicable: this Kubernetes needs no cri-dockerd")


def test_the_socket_of_cri_dockerd_answers(host):
    text = host.check_output(
        "systemctl is-active cri-docker.socket cri-docker.service; ls /var/run/cri-dockerd.sock; true"
    )
    assert text.split() == ["active", "active", "/var/run/cri-dockerd.sock"], text


def test_crictl_reaches_the_runtime(host, lab_vars):
    script = "grep -hs endpoint: /etc/crictl.yaml; command -v kubeadm; echo ==; sudo crictl info --quiet 2>&1"
    files, answer = re.split("^==$", host.run(script).stdout, flags=re.MULTILINE)
    endpoints = re.findall(r"^(?:runtime|image)-endpoint: (\S+)", files, re.MULTILINE)
    assert endpoints == [SOCKET] * 2, f"/etc/crictl.yaml names {', '.join(endpoints) or 'no socket'}, not {SOCKET}"
    if "/kubeadm" not in files:
        pytest.skip("not applicable: crictl comes with the packages of Kubernetes")
    assert answer.lstrip().startswith("{"), f"crictl info: {answer.strip().splitlines()[-1]}"
    sick = [one for one in json.loads(answer)["status"]["conditions"] if not one.get("status")]
    if lab_vars.get("cluster_cni", "none") == "none":
        sick = [one for one in sick if one["type"] != "NetworkReady"]
    assert not sick, "; ".join(f"{one['type']} is false: {one.get('message') or 'no reason'}" for one in sick)
