"""What the role selinux_permissive promises about a node."""

import pytest


def state_of(host, lab_vars):
    """The mode now and the mode at boot; skips where the node has none."""
    if not lab_vars.get("selinux_permissive_applicable", True):
        reason = lab_vars.get("selinux_permissive_reason") or "the kernel is not the node's own"
        pytest.skip(f"not applicable: {reason}")
    text = host.check_output(
        "cat /sys/fs/selinux/enforce 2>/dev/null || echo none; "
        "sed -n 's/^SELINUX=//p' /etc/selinux/config 2>/dev/null || true"
    ).split()
    if text[0] == "none":
        pytest.skip("not applicable: the node has no SELinux")
    return text[0], text[1] if len(text) > 1 else ""


def test_selinux_does_not_enforce_now(host, lab_vars):
    assert not state_of(host, lab_vars)[0].startswith("1")


def test_selinux_does_not_enforce_at_boot(host, lab_vars):
    assert state_of(host, lab_vars)[1] != "enforcing"
