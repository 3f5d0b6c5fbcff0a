"""What the role containerd promises about a node."""

import pytest


def skip_unless_used(lab_vars):
    if lab_vars.get("container_runtime", "containerd") != "containerd":
        pytest.skip("not applicable: this lab runs on Docker")


def test_containerd_runs_and_starts_at_boot(host, lab_vars):
    skip_unless_used(lab_vars)
    script = "systemctl is-active containerd.service; systemctl is-enabled containerd.service; true"
    state = host.check_output(script).split()
    assert state == ["active", "enabled"], f"containerd.service is {' and '.join(state) or 'unknown'}"


def test_containerd_has_the_planned_cgroup_driver(host, lab_vars):
    skip_unless_used(lab_vars)
    systemd = lab_vars.get("containerd_cgroup_driver", "systemd") == "systemd"
    text = host.check_output("sudo cat /etc/containerd/config.toml")
    assert f"SystemdCgroup = {str(systemd).lower()}" in text


def test_images_of_the_lab_are_imported(host, lab_vars):
    skip_unless_used(lab_vars)
    script = (
        "cat /var/lib/labctl/images-* 2>/dev/null | sort -u; echo; sudo ctr -n k8s.io images list --quiet | sort -u"
    )
    expected, _, found = host.check_output(script).partition("\n\n")
    if not expected.strip():
        pytest.skip("not applicable: images are pulled when needed")
    missing = set(expected.split()) - set(found.split())
    assert not missing, f"images gone: {', '.join(sorted(missing))}"
