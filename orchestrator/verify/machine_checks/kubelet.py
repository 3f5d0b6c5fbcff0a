"""Checks of the kubelet as a service of its node, on every node of a lab with Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

_FACTS = r"""
echo "active $(systemctl is-active kubelet.service 2>/dev/null)"
echo "health $(curl -sS -m 5 http://127.0.0.1:10248/healthz 2>&1 | tail -n 1)"
started=/proc/$(systemctl show -p MainPID --value kubelet.service)/cmdline
tr '\0' '\n' <$started 2>/dev/null | sed -n 's/^--node-ip=/address /p'
"""


@pytest.fixture(scope="module")
def facts(host: Any, lab_vars: dict[str, Any]) -> dict[str, str]:
    """Facts of the node's kubelet by subject."""
    if "kubernetes_packages_version" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")
    lines = [line.partition(" ") for line in host.run(_FACTS).stdout.splitlines()]
    return {subject: text.strip() for subject, _, text in lines}


def test_running(facts: dict[str, str]) -> None:
    assert facts["active"] == "active", f"kubelet.service is {facts['active'] or 'unknown'}: no pod is started here"


def test_health(facts: dict[str, str]) -> None:
    assert facts["health"] == "ok", f"its health endpoint reports: {facts['health'] or 'nothing'}"


def test_node_ip(facts: dict[str, str], lab_vars: dict[str, Any]) -> None:
    planned = lab_vars["lab_address"]
    address = facts.get("address", "")
    assert address == planned, f"it runs with {address or 'no --node-ip'} instead of {planned}"
