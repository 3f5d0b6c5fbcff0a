"""What the role calico promises about a node."""

import pytest


@pytest.fixture(autouse=True)
def _where_it_is_the_network(lab_vars):
    if "calico_version" not in lab_vars:
        pytest.skip("not applicable: another network connects the pods")


def test_calico_wrote_its_network_for_the_runtime(host):
    assert host.check_output("ls /etc/cni/net.d/10-calico.conflist 2>&1 || true").startswith("/etc/cni"), "no network"


def test_the_pool_is_the_pod_network(host, lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: checked once, on the control plane")
    command = "kubectl --kubeconfig=/etc/kubernetes/admin.conf get ippools -o jsonpath='{.items[*].spec.cidr}'"
    pools = host.check_output(f"{command} 2>&1 || true")
    assert pools == lab_vars["calico_pod_cidr"], f"pools: {pools}"


def test_network_manager_ignores_calicos_interfaces(host):
    active = host.check_output("systemctl is-active NetworkManager 2>/dev/null || true")
    if active != "active":
        pytest.skip("not applicable: NetworkManager does not run on this node")
    text = host.check_output("cat /etc/NetworkManager/conf.d/labctl-calico.conf 2>/dev/null || true")
    assert "interface-name:cali*" in text, "/etc/NetworkManager/conf.d/labctl-calico.conf does not name cali*"
