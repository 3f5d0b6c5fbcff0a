"""What the role kubernetes_packages promises about a node."""

import pytest


def planned_version(lab_vars):
    return lab_vars.get("kubernetes_packages_version") or pytest.skip("not applicable: this lab has no Kubernetes")


def test_all_three_programs_have_the_planned_version(host, lab_vars):
    expected = f"v{planned_version(lab_vars)}"
    script = (
        "kubeadm version -o short 2>&1; kubelet --version 2>&1 | cut -d' ' -f2; "
        "kubectl version --client=true 2>&1 | grep -om1 'v1[.][0-9.]*'; true"
    )
    assert host.check_output(script).split("\n") == [expected, expected, expected]


def test_packages_are_locked_against_upgrades(host, lab_vars):
    planned_version(lab_vars)
    script = "apt-mark showhold 2>/dev/null; grep -h ^exclude= /etc/yum.repos.d/kubernetes.repo 2>/dev/null; true"
    locked = host.check_output(script).replace("exclude=", "").split()
    free = {"kubeadm", "kubectl", "kubelet"} - set(locked)
    assert not free, f"not locked: {', '.join(sorted(free))}"


def test_kubelet_starts_at_boot(host, lab_vars):
    planned_version(lab_vars)
    assert host.check_output("systemctl is-enabled kubelet.service || true") == "enabled"
