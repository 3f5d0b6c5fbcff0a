"""Lets Molecule run the very role checks that `labctl verify` runs: `pytest -p orchestrator.verify.molecule_plugin`.

There testinfra's own plugin gives `host` (its ansible backend); this one adds what the checks use besides.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from orchestrator.checks.declarations import declared_checks


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Refuse a test of a role that declares checks, but not this one: `labctl verify` could not report it."""
    for item in items:
        checks = declared_checks(item.path).checks
        if checks and item.originalname not in checks:
            raise pytest.UsageError(f"{item.originalname} is not declared in meta/checks.yml of its role")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the id and the remedy of a check that failed."""
    report = yield
    check = declared_checks(item.path).checks.get(item.originalname)
    if check and report.failed:
        report.sections.append((check.id, f"fix: {check.remedy}"))
    return report


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Fail a run in which no check applied to any node: it would verify nothing and look like success."""
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
