"""What the role calico promises about a node."""

import pytest

REMEDY = "labctl provision"


@pytest.fixture(autouse=True)
def _where_it_is_the_network(lab_vars):
    if "calico_version" not in lab_vars:
        pytest.skip("not applicable: another network connects the pods")


@pytest.mark.check(id="calico.configuration", layer="network", severity="error", remedy=REMEDY)
def test_calico_wrote_its_network_for_the_runtime(host):
    assert host.check_output("ls /etc/cni/net.d/10-calico.conflist 2>&1 || true").startswith("/etc/cni"), "no network"


@pytest.mark.check(id="calico.pool", layer="network", severity="error", remedy=REMEDY)
def test_the_pool_is_the_pod_network(host, lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: asked once, at the control plane")
    command = "kubectl --kubeconfig=/etc/kubernetes/admin.conf get ippools -o jsonpath='{.items[*].spec.cidr}'"
    pools = host.check_output(f"{command} 2>&1 || true")
    assert pools == lab_vars["calico_pod_cidr"], f"pools: {pools}"


@pytest.mark.check(id="calico.network_manager", layer="network", severity="error", remedy=REMEDY)
def test_network_manager_leaves_calicos_interfaces_alone(host):
    active = host.check_output("systemctl is-active NetworkManager 2>/dev/null || true")
    if active != "active":
        pytest.skip("not applicable: NetworkManager does not run on this node")
    text = host.check_output("cat /etc/NetworkManager/conf.d/labctl-calico.conf 2>/dev/null || true")
    assert "interface-name:cali*" in text, "/etc/NetworkManager/conf.d/labctl-calico.conf does not name cali*"
