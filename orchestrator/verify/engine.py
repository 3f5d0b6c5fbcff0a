"""The process in which the checks run: pytest collects once, then one forked process per node runs that node's checks.

Started by `run.py` as `python -m orchestrator.verify.engine JOB.json`; prints one JSON line per event on
stdout. A process of its own, because pytest changes global state and because forking wants a process
without threads.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest

from .backend import direct, multiplexed, session_argv
from .cluster import Cluster
from .job import Job, Target
from .plugin import Check, ChecksPlugin, check_of, in_dependency_order
from .report import CheckResult
from .roles import belongs, role_of
from .session import Link, NodeTroubleError
from .workload import Workload

Say = Callable[[dict[str, Any]], None]

# How long cleaning up may take once the time has run out or the user pressed Ctrl-C.
_FAREWELL = 10.0

# The pseudo-node of the checks that run once on the host: its process opens no session.
HERE = Target("", ())

REACHABLE = Check("machine.reachable", "machine", "", "error", "SSH opens a root shell", "labctl start", ())


class Engine:
    """Runs the collected checks of one job and says what happens as it happens."""

    def __init__(self, job: Job, say: Say) -> None:
        self.job = job
        self.say = say
        self.plugin = ChecksPlugin(job, self.run)
        self.ends = time.monotonic() + job.limit
        self._reported: set[tuple[str, str]] = set()

    def run(self, items: list[pytest.Item], broken: list[CheckResult]) -> None:
        """Fork one process per node, hand on what they report, and speak for those that fall silent."""
        nodes = [target.name for target in self.job.targets]
        ids = sorted({check_of(item).id for item in items} | {REACHABLE.id})
        unknown = self.job.selection.unknown(nodes, ids)
        if unknown:
            self.say({"kind": "unknown", "entries": unknown, "ids": ids})
            return
        for result in broken:
            self._report(result)
        targets = (*self.job.targets, HERE) if self.job.host else self.job.targets
        work = {target.name: in_dependency_order(self._items_of(target, items)) for target in targets}
        self.say({"kind": "plan", "nodes": {name: len(mine) for name, mine in work.items()}})
        context = multiprocessing.get_context("fork")
        workers: dict[Connection, tuple[Target, ForkProcess]] = {}
        for target in targets:
            if not work[target.name] and (target is HERE or self.job.selection.entries):
                continue
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=self._worker, args=(target, work[target.name], there), daemon=True)
            process.start()
            there.close()
            workers[here] = (target, process)
        try:
            self._listen({here: target.name for here, (target, _) in workers.items()})
        finally:
            for _, process in workers.values():
                if process.is_alive():
                    process.terminate()
            until = time.monotonic() + _FAREWELL + 1
            for _, process in workers.values():
                process.join(max(0.0, until - time.monotonic()))
                if process.is_alive():
                    process.kill()
        for target, _ in workers.values():
            self._speak_for(target, work[target.name])

    def _items_of(self, target: Target, items: list[pytest.Item]) -> list[pytest.Item]:
        """The node's own checks, then, on the control plane, those of the cluster: they share its session."""
        chosen = [(check_of(item), item) for item in items]
        chosen = [(c, i) for c, i in chosen if self.job.selection.takes(c.id, c.layer, c.node)]
        if target is HERE:
            return [item for check, item in chosen if not check.node and check.layer == "host"]
        mine = [
            item
            for check, item in chosen
            if check.node == target.name and belongs(role_of(item.path), target.variables)
        ]
        leads = self.job.cluster is not None and self.job.cluster.control_plane == target.name
        return mine + ([item for check, item in chosen if not check.node and check.layer != "host"] if leads else [])

    def _listen(self, open_ends: dict[Connection, str]) -> None:
        while open_ends:
            ready = multiprocessing.connection.wait(list(open_ends), timeout=self.ends + 2 - time.monotonic())
            if not ready:
                return
            for end in ready:
                assert isinstance(end, Connection)
                try:
                    message = end.recv()
                except EOFError:
                    self.say({"kind": "done", "node": open_ends.pop(end)})
                    continue
                if isinstance(message, CheckResult):
                    self._report(message)
                else:
                    self.say(message)

    def _report(self, result: CheckResult) -> None:
        self._reported.add((result.id, result.node))
        self.say({"kind": "result", **asdict(result)})

    def _speak_for(self, target: Target, items: list[pytest.Item]) -> None:
        """Give a verdict for each check whose process ended, or was ended, without one."""
        late = time.monotonic() >= self.ends
        why = f"the time limit of {self.job.limit:.0f} s passed first" if late else "the process of these checks ended"
        for item in items:
            check = check_of(item)
            if (check.id, check.node) not in self._reported:
                self._report(check.result("error", why))

    def _worker(self, target: Target, items: list[pytest.Item], end: Connection) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        worker = Worker(self, target, end)
        with contextlib.suppress(KeyboardInterrupt):
            try:
                worker.run(items)
            finally:
                worker.close()
        end.close()
        # Not through pytest's and multiprocessing's exits: their state belongs to the parent.
        os._exit(0)


class Worker:
    """The forked process of one node: opens its session, runs its checks one after the other."""

    def __init__(self, engine: Engine, target: Target, end: Connection) -> None:
        self._engine = engine
        self._target = target
        self._end = end
        self._bad: set[str] = set()
        self._link = Link(session_argv(target.ssh_argv), deadline=engine.ends, patience=engine.job.patience)
        self._lost = ""

    def run(self, items: list[pytest.Item]) -> None:
        """Run the checks; when the node cannot be reached, say so once and let every other check wait for it."""
        plugin = self._engine.plugin
        plugin.on_verdict = self._verdict
        plugin.blocked_by = self._blocked_by
        job = self._engine.job
        for target in job.targets:
            if target.name == self._target.name:
                stock = job.direct and not target.unreachable
                plugin.hosts[target.name] = (
                    direct(target.name, target.ssh_argv) if stock else multiplexed(target.name, self._link)
                )
        if self._target is not HERE:
            self._reach()
        if not self._lost and any("workload" in getattr(item, "fixturenames", ()) for item in items):
            self._start_workload()
        for item, following in itertools.zip_longest(items, items[1:]):
            if time.monotonic() >= self._engine.ends:
                return
            check = check_of(item)
            if not check.node:
                self._end.send({"kind": "start", "id": check.id, "title": check.title})
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)

    def _reach(self) -> None:
        started = time.monotonic()
        why = self._target.unreachable or ""
        if not why:
            try:
                if self._engine.job.direct:
                    self._engine.plugin.hosts[self._target.name].run("true")
                else:
                    self._link.open()
            except NodeTroubleError as trouble:
                why = str(trouble)
            except RuntimeError as trouble:
                why = str(getattr(trouble.args[0], "stderr", trouble)).strip() if trouble.args else "no answer"
        seconds = time.monotonic() - started
        verdict = REACHABLE.result("failed" if why else "ok", why, seconds)
        self._lost = why
        self._end.send(CheckResult(**{**asdict(verdict), "node": self._target.name}))

    def _start_workload(self) -> None:
        """The cluster's probe pods take seconds to come up: they do so while the node's own checks run."""
        plugin, wanted = self._engine.plugin, self._engine.job.cluster
        if wanted is not None:
            plugin.cluster_seen = Cluster(plugin.hosts[wanted.control_plane], wanted)
            # One that cannot be started now is started, and its failure told, by the first check that needs it.
            with contextlib.suppress(NodeTroubleError, AssertionError):
                if plugin.cluster_seen.prompt():
                    plugin.workload_seen = Workload(plugin.cluster_seen)

    def _blocked_by(self, check: Check) -> str:
        if self._lost:
            return f"{REACHABLE.id} on {self._target.name}"
        return next((identity for identity in check.after if identity in self._bad), "")

    def _verdict(self, result: CheckResult) -> None:
        if result.bad or result.status in ("warning", "not_run"):
            self._bad.add(result.id)
        self._end.send(result)

    def close(self) -> None:
        """Remove what the checks made in the cluster, even when they were interrupted, and end the session."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._link.allow(_FAREWELL)
        cluster = self._engine.plugin.cluster_seen
        if cluster is not None:
            with contextlib.suppress(Exception):
                cluster.close()
        self._link.close()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def pytest_arguments(job: Job) -> list[str]:
    """pytest's command line: these files and nothing of the user's directory, configuration or plugins."""
    return [
        *("--rootdir", job.root, "-c", str(Path(__file__).with_name("pytest.ini")), "--noconftest"),
        *("--import-mode", "importlib", "--capture", "no", "--tb", "native", "--continue-on-collection-errors"),
        *(
            "-qq",
            "--no-summary",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:logging",
            "-p",
            "no:warnings",
            "-p",
            "no:junitxml",
        ),
        *job.files,
    ]


def main() -> None:
    """Run the job named on the command line and print its events."""
    # What the user set for his own test runs, and the plugins installed beside labctl, must not change a verdict.
    os.environ |= {"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    job = Job.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGTERM, _interrupt)

    def say(message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")

    engine = Engine(job, say)
    with contextlib.suppress(KeyboardInterrupt):
        code = pytest.main(pytest_arguments(job), plugins=[engine.plugin])
        say({"kind": "end", "pytest": int(code)})


if __name__ == "__main__":
    main()
