"""What the role kubeconfig promises about the users of the control plane."""

import pytest


@pytest.fixture(autouse=True)
def _control_plane_only(lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: a worker holds no kubeconfig")
    if "kubeadm_init_version" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")


def test_each_user_has_a_private_current_kubeconfig(host, lab_vars):
    users = lab_vars.get("kubeconfig_users", ["root"])
    command = "; ".join(
        f"f=$(getent passwd {user} | cut -d: -f6)/.kube/config; "
        f'echo {user} $(stat -c "%a %U" $f 2>&1) $(cmp -s $f /etc/kubernetes/admin.conf && echo same)'
        for user in users
    )
    lines = host.check_output(f"{command}; true").splitlines()
    assert lines == [f"{user} 600 {user} same" for user in users], "; ".join(lines)


def test_kubectl_works_without_options(host):
    answer = host.check_output("HOME=/root kubectl --request-timeout=10s get --raw /healthz 2>&1 || true")
    assert answer == "ok", answer


def test_the_alias_and_its_completion_are_installed(host):
    # not a login shell: an alias that another role's file sets for every node would hide that this one is gone
    command = "bash -c 'shopt -s expand_aliases; . /etc/profile.d/labctl-kubectl.sh; alias k' 2>/dev/null"
    text = host.check_output(f"{command}; ls /usr/local/share/bash-completion/completions/ 2>/dev/null; true")
    assert "kubectl" in text.split("\n")[0], "no alias k"
    assert {"k", "kubectl"} <= set(text.split()), "no completion for kubectl and k"
