"""The pytest plugin that turns check files into checks per node and pytest's outcomes into verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from .cluster import Cluster
from .dependencies import PREREQUISITES
from .job import HostTarget, Job
from .report import CheckResult, Severity, Status
from .session import NodeTroubleError
from .workload import Workload

WAITS_FOR = "waits for "
NOT_APPLICABLE = "not applicable"
ROLLOUT = "workload.rollout"
_EVIDENCE_LIMIT = 700


@dataclass(frozen=True)
class Check:
    """What `@pytest.mark.check` says of a test; `node` is empty for a check that runs once for the cluster."""

    id: str
    layer: str
    node: str
    severity: Severity
    title: str
    remedy: str
    after: tuple[str, ...]

    def result(self, status: Status, evidence: str = "", seconds: float = 0.0) -> CheckResult:
        """The verdict on this check."""
        if status == "failed" and self.severity == "warning":
            status = "warning"
        remedy = self.remedy if status in ("failed", "warning", "error") else ""
        return CheckResult(self.id, self.layer, self.node, status, self.severity, self.title, evidence, remedy, seconds)


def check_of(item: pytest.Item) -> Check:
    """The check that a collected test is; one without a mark gets its id from its file and function."""
    mark = item.get_closest_marker("check")
    said: dict[str, Any] = dict(mark.kwargs) if mark else {}
    name = getattr(item, "originalname", None) or item.name
    call = getattr(item, "callspec", None)
    params = dict(call.params) if call else {}
    node = str(params.pop("lab_node", ""))
    identity = str(said.get("id") or f"{item.path.stem.removeprefix('test_')}.{name.removeprefix('test_')}")
    own_marks = any(one.name == "check" for one in call.marks) if call else False
    if params and not own_marks:
        identity += f"[{'-'.join(str(value) for value in params.values())}]"
    doc = (getattr(getattr(item, "obj", None), "__doc__", None) or "").strip().splitlines()
    after = said.get("after", ())
    remedy = str(said.get("remedy", ""))
    return Check(
        id=identity,
        layer=str(said.get("layer", "system")),
        node=node,
        severity="warning" if said.get("severity") == "warning" else "error",
        title=str(said.get("title") or (doc[0].rstrip(".") if doc else _spoken(name))),
        remedy=remedy.replace("{node}", node) if node else remedy,
        after=(*((after,) if isinstance(after, str) else after), *PREREQUISITES.get(identity, ())),
    )


def _spoken(name: str) -> str:
    words = name.removeprefix("test_").replace("_", " ")
    return words[:1].upper() + words[1:]


def in_dependency_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The items, each after those whose ids it names in `after`; otherwise in the order given."""
    waiting = {check_of(item).id: item for item in items}
    placed: dict[pytest.Item, None] = {}

    def place(item: pytest.Item, above: frozenset[str]) -> None:
        check = check_of(item)
        for identity in check.after:
            if identity in waiting and identity not in above:
                place(waiting[identity], above | {check.id})
        placed.setdefault(item)

    for item in list(items):
        place(item, frozenset())
    return list(placed)


def verdict(check: Check, error: BaseException | None, seconds: float) -> CheckResult:
    """The verdict that a test's exception (None: it passed) means, its evidence in words."""
    if error is None:
        return check.result("ok", seconds=seconds)
    text = str(getattr(error, "msg", None) or error).strip()
    if isinstance(error, pytest.skip.Exception):
        if text.startswith(WAITS_FOR):
            return check.result("not_run", text, seconds)
        reason = text.removeprefix(NOT_APPLICABLE).lstrip(": ")
        return check.result("not_applicable", reason or "it does not apply here", seconds)
    if isinstance(error, (AssertionError, pytest.fail.Exception)):
        return check.result("failed", evidence_of(text), seconds)
    if isinstance(error, NodeTroubleError):
        return check.result("error", text, seconds)
    return check.result("error", f"the check itself broke: {type(error).__name__}: {shortened(text)}", seconds)


def evidence_of(text: str) -> str:
    """An assertion's own message, without what pytest adds about the compared values; without one, those values."""
    output = re.search(r"Unexpected exit code (\d+) for CommandResult\(.*command=b?(['\"])(.*?)\2, ", text, re.DOTALL)
    if output:
        said = re.search(r"_stderr=b?(['\"])(.*?)\1\)?$", text.splitlines()[0])
        words = said.group(2).replace("\\n", "\n").strip().splitlines() if said else []
        return shortened(f"`{output.group(3)}` ended with {output.group(1)}" + (f": {words[-1]}" if words else ""))
    message = re.split(r"\n\s*assert ", text, maxsplit=1)[0].strip()
    return shortened(_compared(message) if message.startswith("assert ") else message)


def _compared(text: str) -> str:
    """What pytest says of an assertion without a message, in one line: what was found and what was expected."""
    lines = [line.strip() for line in text.splitlines()]
    found = [line[2:] for line in lines if line.startswith("+ ") and not line.startswith("+  where")]
    expected = [line[2:] for line in lines if line.startswith("- ")]
    if len(found) == 1 and len(expected) == 1:
        return f"found `{found[0]}` instead of `{expected[0]}`"
    return lines[0].removeprefix("assert ")


def shortened(text: str) -> str:
    """At most eight lines and 700 characters of a text."""
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    cut = "\n".join(lines[:8])
    return cut if len(cut) <= _EVIDENCE_LIMIT else cut[: _EVIDENCE_LIMIT - 3] + "..."


class ChecksPlugin:
    """Collects the checks of a job; `run` gets them when collection is done, and runs them wherever it likes."""

    def __init__(self, job: Job, run: Callable[[list[pytest.Item], list[CheckResult]], None]) -> None:
        self.job = job
        self.hosts: dict[str, Any] = {}
        self.cluster_seen: Cluster | None = None
        self.workload_seen: Workload | None = None
        self.on_verdict: Callable[[CheckResult], None] = lambda result: None
        self.blocked_by: Callable[[Check], str] = lambda check: ""
        self._run = run
        self._broken: list[CheckResult] = []
        self._error: dict[str, BaseException] = {}
        self._seconds: dict[str, float] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "check(id, layer, severity, remedy, after): what a health check proves")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "lab_node" in metafunc.fixturenames:
            names = [target.name for target in self.job.targets]
            metafunc.parametrize("lab_node", names, scope="session")

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.failed:
            name = collector.path.name
            lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
            why = next((line[2:].strip() for line in reversed(lines) if line.startswith("E ")), lines[-1].strip())
            check = Check(f"collect.{name}", "host", "", "error", f"The check file {name} can be read", "", ())
            self._broken.append(check.result("error", f"{collector.path}: {why}"))
        return report

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._run(session.items, self._broken)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        reason = self.blocked_by(check_of(item))
        if reason:
            pytest.skip(WAITS_FOR + reason)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._seconds[item.nodeid] = self._seconds.get(item.nodeid, 0.0) + call.duration
        if call.excinfo is not None:
            self._error.setdefault(item.nodeid, call.excinfo.value)
        if call.when == "teardown":
            error = self._error.pop(item.nodeid, None)
            self.on_verdict(verdict(check_of(item), error, self._seconds.pop(item.nodeid)))
        return report

    @pytest.fixture(scope="session")
    def host(self, lab_node: str) -> Any:
        """The node as testinfra sees it."""
        return self.hosts[lab_node]

    @pytest.fixture(scope="session")
    def lab_vars(self, lab_node: str) -> dict[str, Any]:
        """The node's inventory variables, `group_names` among them."""
        return dict(next(target.variables for target in self.job.targets if target.name == lab_node))

    @pytest.fixture(scope="session")
    def lab_host(self) -> HostTarget:
        """The host's side of the lab."""
        if self.job.host is None:
            pytest.skip(f"{NOT_APPLICABLE}: this run is about nodes alone")
        return self.job.host

    @pytest.fixture(scope="session")
    def cluster(self) -> Cluster:
        """The cluster as its API server describes it."""
        assert self.job.cluster is not None
        if self.cluster_seen is None:
            self.cluster_seen = Cluster(self.hosts[self.job.cluster.control_plane], self.job.cluster)
        return self.cluster_seen

    @pytest.fixture
    def workload(self, cluster: Cluster, request: pytest.FixtureRequest) -> Workload:
        """The probe pods, started on first use; some may be missing, but a check without any has nothing to look at."""
        if self.workload_seen is None:
            self.workload_seen = Workload(cluster)
        if not self.workload_seen.pods and check_of(request.node).id != ROLLOUT:
            pytest.skip(WAITS_FOR + ROLLOUT)
        return self.workload_seen
