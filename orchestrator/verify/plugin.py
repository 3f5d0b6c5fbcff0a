"""The pytest plugin that turns check files into checks per node and pytest's outcomes into results."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.checks.declarations import declared_checks
from orchestrator.checks.model import Check, Outcome, Result

from .cluster import POLL, Cluster
from .conditions import LEFT_OUT, NOT_INSTALLED
from .job import HostTarget, Job
from .outcomes import NOT_APPLICABLE, WAITS_FOR, outcome_of
from .workload import Workload

ROLLOUT = "workload.rollout"
_OWN_NETWORK = "repair the pod network that you installed, then: labctl verify"
_CHECK = pytest.StashKey[Check]()


def check_of(item: pytest.Item) -> Check:
    """The check that a collected test evaluates: as declared, else as its mark says, else named after the test."""
    if _CHECK not in item.stash:
        name = getattr(item, "originalname", None) or item.name
        params = [str(value) for key, value in _params(item).items() if key != "lab_node"]
        suffix = f"[{'-'.join(params)}]" if params else ""
        declared = declared_checks(item.path).checks.get(name + suffix)
        item.stash[_CHECK] = declared or _marked_check(item, name, suffix)
    return item.stash[_CHECK]


def node_of(item: pytest.Item) -> str:
    """The node that a collected test looks at; empty when it runs once."""
    return str(_params(item).get("lab_node", ""))


def _params(item: pytest.Item) -> dict[str, Any]:
    call = getattr(item, "callspec", None)
    return call.params if call else {}


def _marked_check(item: pytest.Item, name: str, suffix: str) -> Check:
    mark = item.get_closest_marker("check")
    given: dict[str, Any] = dict(mark.kwargs) if mark else {}
    after = given.get("after", ())
    doc = (getattr(getattr(item, "obj", None), "__doc__", None) or "").strip().splitlines()
    title = doc[0].rstrip(".") if doc else name.removeprefix("test_").replace("_", " ").capitalize()
    default_id = f"{item.path.stem.removeprefix('test_')}.{name.removeprefix('test_')}"
    return Check(
        id=given.get("id", default_id) + suffix,
        title=given.get("title", title),
        layer=given.get("layer", "system"),
        severity=given.get("severity", "error"),
        remedy=given.get("remedy", ""),
        after=(after,) if isinstance(after, str) else tuple(after),
    )


def in_dependency_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The items, each after those whose ids it names in `after`; otherwise in the order given."""
    listed = list(items)
    by_id = {check_of(item).id: item for item in listed}
    placed: dict[pytest.Item, None] = {}

    def place(item: pytest.Item, above: frozenset[str]) -> None:
        check = check_of(item)
        for identity in check.after:
            if identity in by_id and identity not in above:
                place(by_id[identity], above | {check.id})
        placed.setdefault(item)

    for item in listed:
        place(item, frozenset())
    return list(placed)


def _blames_pod_network(check: Check, outcome: Outcome) -> bool:
    """Whether an outcome is about the pod network itself, which provision does not repair where it is its user's."""
    return (check.pod_network and check.layer == "network") or outcome.evidence.endswith(LEFT_OUT)


class ChecksPlugin:
    """Collects the checks of a job; `run` gets them when collection is done, and runs them wherever it likes."""

    def __init__(self, job: Job, run: Callable[[list[pytest.Item], list[Result]], None]) -> None:
        self.job = job
        self.hosts: dict[str, Any] = {}
        self.observed_cluster: Cluster | None = None
        self.probe_workload: Workload | None = None
        self.on_result: Callable[[Result], None] = lambda result: None
        self.blocked_by: Callable[[Check], str] = lambda check: ""
        self._run = run
        self._began = time.monotonic()
        self._broken: list[Result] = []
        self._errors: dict[str, BaseException] = {}
        self._seconds: dict[str, float] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "check(id, layer, severity, remedy, after): a check that no file declares")

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
            check = Check(f"collect.{name}", f"The check file {name} can be read")
            self._broken.append(check.result(Outcome("error", f"{collector.path}: {why}")))
        return report

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._run(session.items, self._broken)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        check = check_of(item)
        if reason := self.blocked_by(check):
            pytest.skip(WAITS_FOR + reason)
        if check.pod_network and self._is_network_own() and self._cluster().lacks_pod_network():
            pytest.skip(f"{NOT_APPLICABLE}: {NOT_INSTALLED}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Repeat a check that `settles` while the lab has time for that; those of the cluster look again themselves."""
        settle = self.job.cluster.settle if self.job.cluster else 0.0
        if not settle or not check_of(pyfuncitem).settles:
            return None
        arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
        while True:
            try:
                pyfuncitem.obj(**arguments)
            except AssertionError:
                if time.monotonic() >= self._began + settle:
                    raise
                time.sleep(POLL)
            else:
                return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._seconds[item.nodeid] = self._seconds.get(item.nodeid, 0.0) + call.duration
        if call.excinfo is not None:
            self._errors.setdefault(item.nodeid, call.excinfo.value)
        if call.when == "teardown":
            check, outcome = check_of(item), outcome_of(self._errors.pop(item.nodeid, None))
            if self._is_network_own() and _blames_pod_network(check, outcome):
                outcome = replace(outcome, remedy=_OWN_NETWORK)
            self.on_result(check.result(outcome, node_of(item), self._seconds.pop(item.nodeid)))
        return report

    def _is_network_own(self) -> bool:
        """Whether the lab leaves the pod network to its user."""
        return self.job.cluster is not None and self.job.cluster.cni == "none"

    def _cluster(self) -> Cluster:
        assert self.job.cluster is not None
        if self.observed_cluster is None:
            self.observed_cluster = Cluster(self.hosts[self.job.cluster.control_plane], self.job.cluster)
        return self.observed_cluster

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
        return self.job.host or pytest.skip(f"{NOT_APPLICABLE}: this run is about nodes alone")

    @pytest.fixture(scope="session")
    def cluster(self) -> Cluster:
        """The cluster as its API server describes it."""
        return self._cluster()

    @pytest.fixture
    def workload(self, cluster: Cluster, request: pytest.FixtureRequest) -> Workload:
        """The probe pods, started on first use; a check that finds none of them running waits for the rollout."""
        if self.probe_workload is None:
            self.probe_workload = Workload(cluster)
        if not self.probe_workload.pods and check_of(request.node).id != ROLLOUT:
            pytest.skip(WAITS_FOR + ROLLOUT)
        return self.probe_workload
