"""What the role swapoff promises about a node."""

import pytest


def skip_unless_applicable(lab_vars):
    if not lab_vars.get("swapoff_applicable", True):
        pytest.skip(f"not applicable: {lab_vars.get('swapoff_reason') or 'the node does not own its swap'}")


def test_no_swap_is_in_use(host, lab_vars):
    skip_unless_applicable(lab_vars)
    in_use = host.file("/proc/swaps").content_string.splitlines()[1:]
    assert not in_use, f"swap in use: {', '.join(line.split()[0] for line in in_use)}"


def test_no_swap_comes_back_at_boot(host, lab_vars):
    skip_unless_applicable(lab_vars)
    lines = host.check_output("cat /etc/fstab 2>/dev/null || true").splitlines()
    fields = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    active = [words[0] for words in fields if len(words) > 2 and words[2] == "swap"]
    assert not active, f"/etc/fstab still has {', '.join(active)}"
