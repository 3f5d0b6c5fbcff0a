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
    """What one look at the node's kubelet says, by subject."""
    if "kubernetes_packages_version" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")
    lines = [line.partition(" ") for line in host.run(_FACTS).stdout.splitlines()]
    return {subject: text.strip() for subject, _, text in lines}


@pytest.mark.check(
    id="kubelet.running", layer="kubelet", remedy="labctl exec --on {node} -- sudo systemctl restart kubelet"
)
def test_running(facts: dict[str, str]) -> None:
    """The kubelet runs."""
    assert facts["active"] == "active", f"kubelet.service is {facts['active'] or 'unknown'}: no pod is started here"


@pytest.mark.check(
    id="kubelet.health",
    layer="kubelet",
    remedy="labctl exec --on {node} -- sudo journalctl -u kubelet -n 50",
    after="kubelet.running",
)
def test_health(facts: dict[str, str]) -> None:
    """The kubelet calls itself healthy."""
    assert facts["health"] == "ok", f"its health endpoint says: {facts['health'] or 'nothing'}"


@pytest.mark.check(id="kubelet.node_ip", layer="kubelet", remedy="labctl provision", after="kubelet.running")
def test_node_ip(facts: dict[str, str], lab_vars: dict[str, Any]) -> None:
    """The kubelet was told the node's planned address."""
    wanted = lab_vars["lab_address"]
    found = facts.get("address", "")
    assert found == wanted, f"it runs with {found or 'no --node-ip'} instead of {wanted}"
