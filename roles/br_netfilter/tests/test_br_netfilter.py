"""What the role br_netfilter promises about a node."""

import pytest

SYSCTLS = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.ip_forward")


def test_bridged_traffic_is_filtered_and_routed_now(host):
    paths = " ".join("/proc/sys/" + name.replace(".", "/") for name in SYSCTLS)
    values = host.check_output(f"cat {paths} 2>/dev/null || true").split()
    assert len(values) == len(SYSCTLS), "the kernel has no br_netfilter"
    wrong = [name for name, value in zip(SYSCTLS, values, strict=True) if value != "1"]
    assert not wrong, f"not 1: {', '.join(wrong)}"


def test_sysctls_are_set_at_every_boot(host):
    text = host.check_output(
        "cat /etc/sysctl.d/90-kubernetes.conf 2>/dev/null; systemctl is-enabled systemd-sysctl.service || true"
    )
    lines = {line.replace(" ", "") for line in text.splitlines()}
    missing = [name for name in SYSCTLS if f"{name}=1" not in lines]
    assert not missing, f"/etc/sysctl.d/90-kubernetes.conf lacks {', '.join(missing)}"
    assert "masked" not in lines, "systemd-sysctl.service is masked: nothing applies the file at boot"


def test_modules_are_loaded_now_and_at_boot(host, lab_vars):
    if not lab_vars.get("br_netfilter_manage_modules", True):
        reason = lab_vars.get("br_netfilter_reason") or "kernel modules are not the node's own"
        pytest.skip(f"not applicable: {reason}")
    text = host.check_output(
        "ls -d /sys/module/br_netfilter 2>/dev/null; grep overlay /proc/filesystems; "
        "cat /etc/modules-load.d/90-kubernetes.conf 2>/dev/null || true"
    )
    assert "/sys/module/br_netfilter" in text, "br_netfilter is not loaded"
    assert "nodev\toverlay" in text, "overlay is not loaded"
    assert {"br_netfilter", "overlay"} <= set(text.split("\n")), "modules are not loaded at boot"
