"""The drift cases name checks that exist, and enough of them."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from orchestrator import verify
from orchestrator.verify.check_files import REACHABLE
from tests.drift import catalog, table
from tests.drift.catalog import Case

CASES = catalog.load()
KNOWN = frozenset({REACHABLE.id}).union(*verify.ids_by_file().values())


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
