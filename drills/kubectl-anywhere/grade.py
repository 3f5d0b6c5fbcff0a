"""What the drill kubectl-anywhere wants in the end, beside checks of `labctl verify`."""

import pytest


def on_the_worker(lab_vars):
    if lab_vars["inventory_hostname"] != lab_vars["drill_worker"]:
        pytest.skip("not applicable: the drill is about another node")


@pytest.mark.check(id="drill.kubectl_on_worker", layer="kubelet")
def test_the_login_user_can_list_the_nodes(host, lab_vars):
    on_the_worker(lab_vars)
    command = "env -u KUBECONFIG kubectl --request-timeout=10s get nodes -o name"
    done = host.run(f"runuser -l {lab_vars['ansible_user']} -c '{command}'")
    assert done.rc == 0, done.stderr.strip().splitlines()[-1]


@pytest.mark.check(id="drill.kubeconfig_private", layer="kubelet")
def test_the_kubeconfig_is_private(host, lab_vars):
    on_the_worker(lab_vars)
    user = lab_vars["ansible_user"]
    found = host.run(f"stat -c '%U %a' $(getent passwd {user} | cut -d: -f6)/.kube/config")
    assert found.rc == 0, "there is no ~/.kube/config"
    assert found.stdout.split() in ([user, "600"], [user, "400"]), f"owner and mode are {found.stdout.strip()}"
