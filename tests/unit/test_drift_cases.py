"""The drift cases name checks that exist, and enough of them."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.drift import catalog, table
from tests.drift.catalog import Case

ROOT = Path(__file__).resolve().parents[2]
CASES = catalog.load()
# Made from names and a component by test_control_plane.py, so they stand nowhere as text.
COMPUTED = {
    f"control_plane.{name}"
    for component in ("kube_apiserver", "kube_controller_manager", "kube_scheduler", "etcd")
    for name in (component, f"{component}_leads")
}


def known_checks() -> set[str]:
    """Identities of all checks, as their sources write them."""
    found = set(COMPUTED) | {"machine.reachable"}
    files = [
        *ROOT.glob("roles/*/tests/test_*.py"),
        *ROOT.glob("orchestrator/verify/host_checks/*.py"),
        *ROOT.glob("orchestrator/verify/machine_checks/*.py"),
        *ROOT.glob("orchestrator/verify/cluster_checks/*.py"),
    ]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            words = {one.arg: one.value.value for one in node.keywords if isinstance(one.value, ast.Constant)}
            if "id" in words:
                found.add(str(words["id"]))
            elif getattr(node.func, "id", "") == "_check" and isinstance(node.args[0], ast.Constant):
                found.add(f"{words.get('layer', 'control_plane')}.{node.args[0].value}")
    return found


KNOWN = known_checks()


def test_there_are_at_least_sixty_ways_to_break_a_lab_under_distinct_names() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 60


def test_some_of_them_are_part_of_every_test_run() -> None:
    assert 8 <= len([case for case in CASES if case.representative and case.runs_on("container")]) <= 16


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_names_checks_that_exist(case: Case) -> None:
    assert case.expect
    assert not set(case.expect) - KNOWN
    assert not [one for one in case.follow if not any(fnmatchcase(known, one) for known in KNOWN)]


@pytest.mark.parametrize("word", ["swapon", "modprobe", "date -s", "fallocate"])
def test_what_would_reach_a_shared_kernel_is_for_virtual_machines_only(word: str) -> None:
    on_containers = [case for case in CASES if case.runs_on("container")]
    assert [case.id for case in on_containers if any(word in step.script for step in case.breaks)] == []


def test_a_finding_that_is_neither_expected_nor_follows_is_unexplained() -> None:
    case = Case("x", (), ("docker.running",), (), follow=("network.*",))
    assert case.unexplained({"docker.running", "network.pod_to_pod", "swapoff.now"}) == {"swapoff.now"}


def test_only_quiet_breaks_with_findings_of_their_own_are_made_together() -> None:
    groups = catalog.together(CASES)
    assert sorted(case.id for group in groups for case in group) == sorted(case.id for case in CASES)
    for group in groups:
        expected = [identity for case in group for identity in case.expect]
        assert len(expected) == len(set(expected))
        assert len(group) == 1 or all(case.quiet for case in group)


def test_the_page_has_a_row_for_every_case_with_the_checks_it_is_found_as() -> None:
    page = table.PAGE.read_text(encoding="utf-8").split(table.BEGIN)[1].split(table.END)[0]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in page.splitlines()[2:]]
    assert [cell[:2] for cell in cells] == [[case.id, ", ".join(case.expect)] for case in CASES]
