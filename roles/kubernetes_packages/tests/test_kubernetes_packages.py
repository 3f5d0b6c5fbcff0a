"""What the role kubernetes_packages promises about a node."""

import pytest

REMEDY = "labctl provision"


def version_wanted(lab_vars):
    return lab_vars.get("kubernetes_packages_version") or pytest.skip("not applicable: this lab has no Kubernetes")


@pytest.mark.check(id="kubernetes_packages.version", layer="kubelet", severity="error", remedy=REMEDY)
def test_all_three_programs_have_the_wanted_version(host, lab_vars):
    wanted = f"v{version_wanted(lab_vars)}"
    script = (
        "kubeadm version -o short 2>&1; kubelet --version 2>&1 | cut -d' ' -f2; "
        "kubectl version --client=true 2>&1 | grep -om1 'v1[.][0-9.]*'; true"
    )
    assert host.check_output(script).split("\n") == [wanted, wanted, wanted]


@pytest.mark.check(id="kubernetes_packages.locked", layer="kubelet", severity="warning", remedy=REMEDY)
def test_packages_are_locked_against_upgrades(host, lab_vars):
    version_wanted(lab_vars)
    script = "apt-mark showhold 2>/dev/null; grep -h ^exclude= /etc/yum.repos.d/kubernetes.repo 2>/dev/null; true"
    locked = host.check_output(script).replace("exclude=", "").split()
    free = {"kubeadm", "kubectl", "kubelet"} - set(locked)
    assert not free, f"not locked: {', '.join(sorted(free))}"


@pytest.mark.check(id="kubernetes_packages.kubelet_enabled", layer="kubelet", severity="error", remedy=REMEDY)
def test_kubelet_starts_at_boot(host, lab_vars):
    version_wanted(lab_vars)
    assert host.check_output("systemctl is-enabled kubelet.service || true") == "enabled"
