"""What the role network_policy promises: the program that enforces NetworkPolicy is on every node."""

import pytest

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=10s -n kube-system"


@pytest.fixture(autouse=True)
def _control_plane_only(lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: checked once, on the control plane")
    if "network_policy_image" not in lab_vars:
        pytest.skip("not applicable: the pod network enforces NetworkPolicy itself, or nobody does")


def test_kube_router_runs_on_every_node(host):
    text = host.check_output(
        f"{KUBECTL} get daemonset kube-router "
        "-o jsonpath='{.status.desiredNumberScheduled} {.status.numberReady}' 2>&1 || true"
    )
    expected, _, ready = text.partition(" ")
    assert expected.isdigit(), text.splitlines()[-1] if text else "there is no answer"
    assert expected == ready, f"kube-router is ready on {ready or 0} of {expected} nodes"
