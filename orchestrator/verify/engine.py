"""The process in which the checks run: pytest collects once, then one forked process per node runs that node's checks.

Started by `run.py` as `python -m orchestrator.verify.engine JOB.json`; prints one JSON line per message on
stdout. A process of its own, because pytest changes global state and because forking wants a process
without threads.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.checks.declarations import declared_checks
from orchestrator.checks.model import Outcome, Result

from .check_files import REACHABLE
from .job import Job, Target
from .news import News
from .plugin import ChecksPlugin, check_of, in_dependency_order, node_of
from .worker import CLEANUP_SECONDS, Worker

SendMessage = Callable[[dict[str, Any]], None]

# The pseudo-node of the checks that run once on the host: its process opens no session.
HOST = Target("", ())


@dataclass(frozen=True)
class Work:
    """The checks of one process: those of a node, of the host, or `of_cluster`, asked on the control plane."""

    target: Target
    items: list[pytest.Item]
    of_cluster: bool = False

    @property
    def node(self) -> str:
        """The node whose checks these are; empty where they run once."""
        return "" if self.of_cluster else self.target.name


_ISOLATION = (
    "--noconftest --import-mode importlib --capture no --tb native --continue-on-collection-errors -qq --no-summary "
    "-p no:cacheprovider -p no:logging -p no:warnings -p no:junitxml"
)


class Engine:
    """Runs the collected checks of one job and sends a message for everything that happens.

    The checks of the cluster have a process and a session of their own: they wait for pods while the nodes are looked
    at. What they need to know of the control plane's own checks comes to them by a pipe.
    """

    def __init__(self, job: Job, send: SendMessage) -> None:
        self.job = job
        self.send = send
        self.plugin = ChecksPlugin(job, self.run)
        self.ends = time.monotonic() + job.limit
        self._reported: set[tuple[str, str]] = set()

    def run(self, items: list[pytest.Item], broken: list[Result]) -> None:
        """Fork the processes, pass their results on, and report for those that end without one."""
        selection, nodes = self.job.selection, [target.name for target in self.job.targets]
        unknown = selection.unknown(nodes, [REACHABLE.id, *(check_of(item).id for item in items)])
        if unknown:
            self.send({"kind": "unknown", "entries": unknown})
            return
        for result in broken:
            self._report(result)
        work = self._divide([item for item in items if self._is_selected(item)])
        self.send({"kind": "plan", "nodes": {one.node: len(one.items) for one in work if one.node}})
        work = [one for one in work if one.items or (one.node and not selection.entries)]
        leading = next((one.items for one in work if one.node and one.node == self._leader), [])
        news = News(frozenset(check_of(item).id for item in leading))
        workers = [self._start_worker(one, news) for one in work]
        news.close()
        try:
            self._listen({end: one.node for one, (end, _) in zip(work, workers, strict=True)})
        finally:
            _stop([process for _, process in workers])
        for one in work:
            self._report_unfinished(one.items)

    @property
    def _leader(self) -> str:
        return self.job.cluster.control_plane if self.job.cluster else ""

    def _is_selected(self, item: pytest.Item) -> bool:
        check = check_of(item)
        return self.job.selection.takes(check.id, check.layer, node_of(item))

    def _divide(self, items: list[pytest.Item]) -> list[Work]:
        """What each process has to do; the cluster's first, because it waits most."""
        once = [item for item in items if not node_of(item)]
        of_host = [item for item in once if check_of(item).layer == "host"] if self.job.host else []
        of_cluster = [item for item in once if check_of(item).layer != "host"]
        work = [Work(one, of_cluster, of_cluster=True) for one in self.job.targets if one.name == self._leader]
        for target in self.job.targets:
            own = [item for item in items if node_of(item) == target.name]
            work.append(Work(target, [one for one in own if declared_checks(one.path).applies_to(target.variables)]))
        work.append(Work(HOST, of_host))
        return [replace(one, items=in_dependency_order(one.items)) for one in work]

    def _start_worker(self, work: Work, news: News) -> tuple[Connection, ForkProcess]:
        context = multiprocessing.get_context("fork")
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=self._work, args=(work, news, sending), daemon=True)
        process.start()
        sending.close()
        return receiving, process

    def _work(self, work: Work, news: News, sending: Connection) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        worker = Worker(self.job, work.target, self.plugin, self.ends, sending.send)
        if work.of_cluster:
            worker.elsewhere = news.listener()
        elif work.node and work.node == self._leader:
            worker.tell = news.teller()
        else:
            news.close()
        with contextlib.suppress(KeyboardInterrupt):
            try:
                worker.run(work.items, connects=work.target is not HOST, reports=bool(work.node))
            finally:
                worker.close()
        sending.close()
        # Not through pytest's and multiprocessing's exits: their state belongs to the parent.
        os._exit(0)

    def _listen(self, nodes: dict[Connection, str]) -> None:
        while nodes:
            ready = multiprocessing.connection.wait(list(nodes), timeout=self.ends + 2 - time.monotonic())
            if not ready:
                return
            for end in ready:
                assert isinstance(end, Connection)
                try:
                    message = end.recv()
                except EOFError:
                    self.send({"kind": "done", "node": nodes.pop(end)})
                    continue
                if isinstance(message, Result):
                    self._report(message)
                else:
                    self.send(message)

    def _report(self, result: Result) -> None:
        self._reported.add((result.id, result.node))
        self.send({"kind": "result", **asdict(result)})

    def _report_unfinished(self, items: list[pytest.Item]) -> None:
        """Report an error for each check whose process ended, or was ended, without a result of it."""
        late = time.monotonic() >= self.ends
        why = f"the time limit of {self.job.limit:.0f} s passed first" if late else "the process of these checks ended"
        for item in items:
            check, node = check_of(item), node_of(item)
            if (check.id, node) not in self._reported:
                self._report(check.result(Outcome("error", why), node))


def _stop(processes: list[ForkProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()
    until = time.monotonic() + CLEANUP_SECONDS + 1
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def pytest_arguments(job: Job) -> list[str]:
    """pytest's command line: these files and nothing of the user's directory, configuration or plugins."""
    configuration = Path(__file__).with_name("pytest.ini")
    return ["--rootdir", job.root, "-c", str(configuration), *_ISOLATION.split(), *job.files]


def main() -> None:
    """Run the job named on the command line and print its messages."""
    # What the user set for his own test runs, and the plugins installed beside labctl, must not change a result.
    os.environ |= {"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    job = Job.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGTERM, _interrupt)

    def send(message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")

    engine = Engine(job, send)
    with contextlib.suppress(KeyboardInterrupt):
        code = pytest.main(pytest_arguments(job), plugins=[engine.plugin])
        send({"kind": "end", "pytest": int(code)})


if __name__ == "__main__":
    main()
