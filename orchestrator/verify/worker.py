"""The forked process of one node: opens its session and runs its checks one after the other."""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.checks.model import Check, Result, failed, passed

from .backend import direct_host, session_argv, session_host
from .check_files import REACHABLE
from .cluster import Cluster
from .job import Job, Target
from .plugin import ChecksPlugin, check_of, node_of
from .session import NodeError, ReconnectingSession
from .workload import Workload

# How long cleaning up may take once the time has run out or the user pressed Ctrl-C.
CLEANUP_SECONDS = 10.0


class Worker:
    """Runs the checks of one node; `send` takes its results and messages, `ends` is the monotonic time limit."""

    def __init__(
        self, job: Job, target: Target, plugin: ChecksPlugin, ends: float, send: Callable[[Any], None]
    ) -> None:
        self._job = job
        self._target = target
        self._plugin = plugin
        self._ends = ends
        self._send = send
        self._blocking: set[str] = set()
        argv = session_argv(target.ssh_argv)
        self._session = ReconnectingSession(argv, deadline=ends, timeout_factor=job.timeout_factor)
        self._is_reachable = True
        self.elsewhere: Callable[[str], bool] = lambda identity: False
        """Whether a check that another process runs has failed."""
        self.tell: Callable[[str, bool], None] = lambda identity, passed: None
        """Takes the id of every check that ended, and whether it passed."""

    def run(self, items: list[pytest.Item], *, connects: bool, reports: bool) -> None:
        """Run the checks; when the node cannot be reached, let every other check wait for that, which one `reports`."""
        self._plugin.on_result = self._on_result
        self._plugin.blocked_by = self._blocked_by
        if connects:
            reachable = self._connect()
            if reports:
                self._send(reachable)
        if self._is_reachable and any("workload" in getattr(item, "fixturenames", ()) for item in items):
            self._start_workload()
        for item, following in itertools.zip_longest(items, items[1:]):
            if time.monotonic() >= self._ends:
                return
            if not node_of(item):
                check = check_of(item)
                self._send({"kind": "start", "id": check.id, "title": check.title})
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)

    def _connect(self) -> Result:
        target, started = self._target, time.monotonic()
        direct = self._job.direct and not target.unreachable
        host = direct_host(target.ssh_argv) if direct else session_host(target.name, self._session)
        self._plugin.hosts[target.name] = host
        why = target.unreachable or ""
        try:
            if direct:
                host.run("true")
            elif not why:
                self._session.open()
        except NodeError as problem:
            why = str(problem)
        except RuntimeError as problem:
            why = str(getattr(problem.args[0], "stderr", problem)).strip() if problem.args else "no answer"
        self._is_reachable = not why
        outcome = failed(why) if why else passed()
        return REACHABLE.result(outcome, target.name, time.monotonic() - started)

    def _start_workload(self) -> None:
        """The cluster's probe pods take seconds to come up: they do so while the node's own checks run."""
        plugin, target = self._plugin, self._job.cluster
        if target is not None:
            plugin.observed_cluster = Cluster(plugin.hosts[target.control_plane], target)
            # One that cannot be started now is started, and its failure reported, by the first check that needs it.
            with contextlib.suppress(NodeError, AssertionError):
                if plugin.observed_cluster.is_responsive() and not plugin.observed_cluster.lacks_pod_network():
                    plugin.probe_workload = Workload(plugin.observed_cluster)

    def _blocked_by(self, check: Check) -> str:
        if not self._is_reachable:
            return f"{REACHABLE.id} on {self._target.name}"
        return next((one for one in check.after if one in self._blocking or self.elsewhere(one)), "")

    def _on_result(self, result: Result) -> None:
        is_passed = result.status in ("ok", "not_applicable")
        if not is_passed:
            self._blocking.add(result.id)
        self.tell(result.id, is_passed)
        self._send(result)

    def close(self) -> None:
        """Remove what the checks made in the cluster, even when they were interrupted, and end the session."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._session.extend(CLEANUP_SECONDS)
        if self._plugin.observed_cluster is not None:
            with contextlib.suppress(Exception):
                self._plugin.observed_cluster.close()
        self._session.close()
