"""Lets Molecule run the very role checks that `labctl verify` runs: `pytest -p orchestrator.verify.molecule_plugin`.

There testinfra's own plugin gives `host` (its ansible backend); this one adds what the checks use besides.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark of checks known."""
    config.addinivalue_line("markers", "check(id, layer, severity, remedy, after): what a health check proves")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Fail a run in which no check applied to any node: it would prove nothing and look like success."""
    if not terminalreporter.stats.get("passed") and not terminalreporter.stats.get("failed"):
        terminalreporter.write_line("no check of the role applied to any node", red=True)
        terminalreporter._session.exitstatus = 1


@pytest.fixture(scope="module")
def lab_vars(host: Any) -> dict[str, Any]:
    """The node's variables as Ansible merges them, `group_names` among them."""
    return dict(host.ansible.get_variables())


@pytest.fixture(scope="module")
def lab_node(lab_vars: dict[str, Any]) -> str:
    """The node's name in the inventory."""
    return str(lab_vars["inventory_hostname"])
