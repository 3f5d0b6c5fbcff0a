"""The fault cases are complete: enough of them, each with a way out, and nothing done to a kernel that is shared."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import ExitCode
from tests.faults import catalog, record
from tests.faults.catalog import Case

CASES = catalog.load()
PHASES = {
    "Create 2 machines",
    "Prepare the nodes",
    "Install the container runtime and Kubernetes",
    "Initialize the control plane",
    "Join the workers",
    "Configure DNS and exercises",
    "Verify",
}

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def test_there_are_at_least_forty_faults_under_distinct_names() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert len([case for case in CASES if case.runs_on("container")]) >= 40


def test_some_of_them_are_part_of_every_test_run() -> None:
    assert 6 <= len([case for case in CASES if case.representative]) <= 12


@each_case
def test_a_refusal_has_a_code_of_its_own_and_a_way_out(case: Case) -> None:
    if case.expect is not None:
        assert case.expect.code in set(ExitCode) - {ExitCode.OK, ExitCode.BUG, ExitCode.USAGE, ExitCode.INTERRUPTED}
        assert case.expect.says
        assert case.expect.remedy or case.repair
        re.compile(case.expect.remedy)


@each_case
def test_a_moment_names_a_phase_of_provision(case: Case) -> None:
    assert case.moment is None or case.moment.random or case.moment.phase in PHASES
    assert case.moment is not None or not case.first


@each_case
def test_machines_without_kubernetes_are_given_no_fault_of_kubernetes(case: Case) -> None:
    text = f"{[step.script for step in case.breaks]} {case.moment}"
    assert case.lab == "cluster" or not re.search(r"(?<!-)kube(let|adm|ctl)|systemctl stop docker", text)


@pytest.mark.parametrize("word", ["swapon", "modprobe", "date -s", "fallocate"])
def test_what_would_reach_a_shared_kernel_is_for_virtual_machines_only(word: str) -> None:
    on_containers = [case for case in CASES if case.runs_on("container")]
    assert [case.id for case in on_containers if any(word in step.script for step in case.breaks)] == []


def test_the_page_of_faults_lists_every_case_as_it_is(golden: Callable[[str, Path], None]) -> None:
    golden(record.text(record.recorded(record.FILE.read_text(encoding="utf-8"))), record.FILE)


def test_what_a_run_found_is_added_to_what_earlier_runs_found(tmp_path: Path) -> None:
    page, (first, second) = tmp_path / "faults.md", CASES[:2]
    record.note(page, first, "healed", 31.4)
    record.note(page, second, "refused (4), healed after `labctl destroy`", 60)
    record.note(page, first, "failed", 12)
    found = {first.id: ("failed", "12"), second.id: ("refused (4), healed after `labctl destroy`", "60")}
    assert record.recorded(page.read_text()) == found
    assert page.read_text() == record.text(found)


@each_case
def test_a_step_is_a_line_for_bash_that_needs_no_ansible(case: Case) -> None:
    assert all(step.script and not step.module for step in (*case.breaks, *case.repair))
