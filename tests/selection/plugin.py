"""The pytest plugin of `./test` and `./test full PART`: chooses cases before the start, records their results.

`--minutes N` alone chooses among all collected cases of parts; with `--part PART` only those without a current result
run, no case begins that would not end within the minutes, and the next call goes on.
"""

from __future__ import annotations

import datetime
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.selection.choice import Case, Choice, Result, Test, choose, choose_pending
from tests.selection.inputs import hash_inputs
from tests.selection.parts import part_of
from tests.selection.results import read_results, write_results

ROOT = Path(__file__).resolve().parents[2]
FULL_MINUTES = 60.0
# What ending a session takes: its labs are destroyed.
CLOSING_SECONDS = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("selection of cases")
    group.addoption("--minutes", type=float, help="run as many cases as fit into so many minutes")
    group.addoption("--part", default="", help="run the cases of this part that have no current result")
    group.addoption("--results", type=Path, default=ROOT / "tests" / "results", help="where results are recorded")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--part") or config.getoption("--minutes") is not None:
        config.pluginmanager.register(Selection(config), "selection")


def describe(item: pytest.Item) -> Test | None:
    """Return what is known of a test before it runs; None for a test of no part."""
    path, _, name = item.nodeid.partition("::")
    part = part_of(path, {mark.name for mark in item.iter_markers()})
    if part is None:
        return None
    extra = [pattern for mark in item.iter_markers("inputs") for pattern in mark.args]
    own = str(Path(path).parent / "*.py")
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    takes = item.get_closest_marker("takes")
    key = hash_inputs(ROOT, (*part.inputs, *extra, own), name.partition("[")[0], parameters)
    return Test(item.nodeid, key, part.name, takes.args[0] if takes else Test.seconds)


def group_cases(items: list[pytest.Item]) -> list[Case]:
    """Return the cases of the collected tests, in their order: a module marked `story` is one."""
    tests: dict[str, list[Test]] = defaultdict(list)
    representative: set[str] = set()
    for item in items:
        if (test := describe(item)) is None:
            continue
        name = case_id(item)
        tests[name].append(test)
        if item.get_closest_marker("representative"):
            representative.add(name)
    return [Case(name, tuple(own), name in representative) for name, own in tests.items()]


def case_id(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0] if item.get_closest_marker("story") else item.nodeid


class Selection:
    """The choice of one run and its record."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.part: str = config.getoption("--part")
        minutes = config.getoption("--minutes")
        self.minutes: float = FULL_MINUTES if minutes is None else minutes
        self.directory: Path = config.getoption("--results")
        self.began = time.monotonic()
        # Processes of pytest-xdist: the controller collects nothing, its workers record nothing.
        self.is_controller = bool(getattr(config.option, "dist", "no") != "no" and not hasattr(config, "workerinput"))
        self.processes: int = getattr(config, "workerinput", {}).get("workercount", 1)
        self.is_over = False
        self.lines: list[str] = []
        self.cases: dict[str, Case] = {}
        self.choice = Choice((), ())
        self.recorded: dict[str, dict[str, Result]] = {}
        self.phases: dict[str, list[pytest.TestReport]] = defaultdict(list)
        argv = ["git", "rev-parse", "--short=12", "HEAD"]
        self.commit = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True).stdout.strip()

    def file_of(self, part: str) -> Path:
        """Return the file of the results of a part."""
        return self.directory / f"{part}.json"

    def results(self) -> dict[str, Result]:
        """All results of the parts that were collected, by test id."""
        return {name: result for part in self.recorded.values() for name, result in part.items()}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self.part:
            strangers = [item for item in items if (test := describe(item)) is None or test.part != self.part]
            self.deselect(items, strangers)
        self.cases = {case.id: case for case in group_cases(items)}
        for part in {test.part for case in self.cases.values() for test in case.tests}:
            self.recorded[part] = read_results(self.file_of(part))
        if self.part and not config.option.keyword:
            self.forget_missing()
        pick = choose_pending if self.part else choose
        self.choice = pick(self.cases.values(), self.results(), self.minutes * self.processes)
        self.lines = self.choice_lines()
        chosen = {case.id for case in self.choice.chosen}
        self.deselect(items, [item for item in items if (name := case_id(item)) in self.cases and name not in chosen])

    def forget_missing(self) -> None:
        """Drop results of tests that are no longer there."""
        existing = {test.id for case in self.cases.values() for test in case.tests}
        results = self.recorded.get(self.part, {})
        self.recorded[self.part] = {name: result for name, result in results.items() if name in existing}

    def deselect(self, items: list[pytest.Item], out: list[pytest.Item]) -> None:
        self.config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]

    def pytest_report_collectionfinish(self) -> list[str]:
        return self.lines

    def choice_lines(self) -> list[str]:
        """Return what is chosen and what does not fit, for people."""
        results = self.results()
        changed = [case for case in self.choice.chosen if not case.is_current(results)]
        seconds = sum(case.estimate(results) for case in self.choice.chosen)
        counts = f"chosen: {len(self.choice.chosen)} of {len(self.cases)} cases, about {seconds / 60:.0f} minutes"
        lines = [f"{counts}; {len(changed)} with changed inputs or no result"]
        if self.choice.left:
            names = ", ".join(short_name(case.id) for case in self.choice.left)
            lines.append(f"not within {self.minutes:g} minutes, left to `./test full`: {names}")
        return lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        case = self.cases.get(case_id(item))
        if self.part and case is not None and case.tests[0].id == item.nodeid:
            left = self.minutes * 60 - (time.monotonic() - self.began) - CLOSING_SECONDS
            self.is_over = self.is_over or case.estimate(self.results()) > left
        return True if self.is_over else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: Any = yield
        if (test := describe(item)) is not None:
            # A plain attribute: it reaches the process that records when another one runs the test.
            report.selection = [test.part, test.key, item.get_closest_marker("story") is not None]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.phases[report.nodeid].append(report)
        if report.when != "teardown" or not hasattr(report, "selection") or hasattr(self.config, "workerinput"):
            return
        part, key, is_story = report.selection
        phases = self.phases.pop(report.nodeid)
        # What a shared lab takes is no test's own, except where the whole module is the case.
        seconds = sum(phase.duration for phase in phases if is_story or phase.when == "call")
        outcomes = [phase.outcome for phase in phases]
        outcome = next((one for one in ("failed", "skipped") if one in outcomes), "passed")
        date = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
        results = self.recorded.setdefault(part, read_results(self.file_of(part)))
        facts = dict(report.user_properties)
        results[report.nodeid] = Result(date, self.commit, round(seconds, 1), outcome, key, facts)
        write_results(self.file_of(part), results)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["selection"] = {
                "lines": self.lines,
                "cases": [asdict(case) for case in self.cases.values()],
            }
        elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.cases:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if self.pending() else pytest.ExitCode.OK

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker process collected; every worker collects the same."""
        sent = node.workeroutput.get("selection", {}) if hasattr(node, "workeroutput") else {}
        self.lines = sent.get("lines", self.lines)
        for case in sent.get("cases", ()):
            tests = tuple(Test(**test) for test in case["tests"])
            self.cases[case["id"]] = Case(case["id"], tests, case["is_representative"])
            for part in {test.part for test in tests}:
                self.recorded.setdefault(part, read_results(self.file_of(part)))

    def pending(self) -> list[Case]:
        """Return the cases of the part that have no current result, or failed; none without a part."""
        results = self.results()
        return [case for case in self.cases.values() if self.part and not case.is_settled(results)]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.is_controller:
            for line in self.lines:
                terminalreporter.write_line(line)
        if not self.part:
            return
        pending, total = self.pending(), len(self.cases)
        names = ", ".join(short_name(case.id) for case in pending)
        state = f"`./test full {self.part}` goes on with: {names}" if pending else "complete"
        terminalreporter.write_line(
            f"{self.part}: {total - len(pending)} of {total} cases have a current result; {state}"
        )


def short_name(name: str) -> str:
    """Return what tells a case from its neighbours: its parameters, or its last name."""
    return name.partition("[")[2].removesuffix("]") or name.rpartition("::")[2].rpartition("/")[2]
