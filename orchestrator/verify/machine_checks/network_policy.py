"""Checks of the packet filter with which kube-router enforces NetworkPolicy, on every node of a lab that has it."""

from __future__ import annotations

from typing import Any

import pytest

_CHAINS = ("INPUT", "FORWARD", "OUTPUT")


def missing_jumps(rules: list[str]) -> list[str]:
    """The chains of the kernel that do not lead into kube-router's, by the output of `iptables -S`."""
    return [
        chain
        for chain in _CHAINS
        if not any(rule.startswith(f"-A {chain} ") and rule.endswith(f" -j KUBE-ROUTER-{chain}") for rule in rules)
    ]


def test_chains(host: Any, lab_vars: dict[str, Any]) -> None:
    if "network_policy_image" not in lab_vars:
        pytest.skip("not applicable: the pod network enforces NetworkPolicy itself, or nobody does")
    # The pods' own rules are many, and only these lead into them.
    script = " ".join(f"iptables -w -S {chain};" for chain in _CHAINS)
    missing = missing_jumps(host.run(f"{{ {script} }} 2>&1").stdout.splitlines())
    assert not missing, f"no rule of {', '.join(missing)} leads to kube-router: no NetworkPolicy is enforced here"
