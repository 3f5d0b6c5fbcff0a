"""Runs the checks: writes the job, starts the engine's process, turns its messages into events and a Report."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import paths, proc
from ..checks.model import LAYERS, Report, Result, sort_results
from ..errors import LabError, SpecError
from ..events import Emit, Step, discard
from .check_files import check_files
from .job import ClusterTarget, HostTarget, Job, Selection, Target

# Seconds that the engine has after Ctrl-C: more than it grants its own processes to remove the probe pods.
_GRACE = 14.0


def run_checks(
    lab: str,
    targets: Sequence[Target],
    cluster: ClusterTarget | None,
    *,
    only: Sequence[str] = (),
    direct: bool = False,
    emit: Emit = discard,
    phase: str = "verify",
    deadline: float = 120,
    files: Sequence[Path] | None = None,
    host: HostTarget | None = None,
    timeout_factor: float = 1.0,
) -> Report:
    """Run every check that applies on every node and, once, on the cluster; return the Report.

    `deadline` is in seconds: then whatever has no result becomes an error. `only` selects layers, nodes,
    `LAYER/NODE` or check ids. `timeout_factor` multiplies the limits of single commands. `files` replaces labctl's
    own check files. Raises SpecError, before any node is contacted, when `only` names what does not exist; LabError
    when the engine itself breaks.
    """
    started, clock = time.time(), time.monotonic()
    selected = check_files(with_cluster=cluster is not None) if files is None else files
    job = Job(
        targets=tuple(targets),
        cluster=cluster,
        files=tuple(str(path) for path in selected),
        root=str(paths.data("roles").parent),
        selection=Selection(tuple(only)),
        limit=deadline,
        direct=direct,
        host=host,
        timeout_factor=timeout_factor,
    )
    listener = _Listener(emit, phase)
    _run_engine(job, listener)
    names = [target.name for target in targets]
    if listener.unknown:
        raise SpecError(
            f"--only: there is no layer, node or check called {', '.join(listener.unknown)}",
            fix=f"layers: {', '.join(LAYERS)}; nodes: {', '.join(names)}; "
            "a check's id as `labctl verify --output json` shows it",
        )
    if not listener.results:
        raise LabError(
            f"no check was run: {listener.noise or 'the engine printed nothing'}", fix="labctl verify --debug"
        )
    return Report(lab, started, time.monotonic() - clock, sort_results(listener.results, names))


def _run_engine(job: Job, listener: _Listener) -> None:
    with tempfile.TemporaryDirectory(prefix="labctl-verify-") as scratch:
        file = Path(scratch) / "job.json"
        file.write_text(job.as_json(), encoding="utf-8")
        env = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        argv = [sys.executable, "-P", "-m", f"{__package__}.engine", str(file)]
        try:
            proc.stream(argv, listener.read, timeout=job.limit + 30, env=env, cwd=Path(scratch), grace=_GRACE)
        except proc.ProcessFailed as failed:
            if not listener.results:
                raise LabError(
                    f"the checks could not be run: {listener.noise or failed.result.tail}", fix="labctl verify --debug"
                ) from None


class _Listener:
    """Reads the engine's messages: results are kept, progress becomes events."""

    def __init__(self, emit: Emit, phase: str) -> None:
        self.results: list[Result] = []
        self.unknown: tuple[str, ...] = ()
        self.noise = ""
        self._emit = emit
        self._phase = phase

    def read(self, line: str) -> None:
        """Take one line of the engine's output."""
        message: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            message = json.loads(line)
        kind = message.pop("kind", None) if isinstance(message, dict) else None
        if kind == "result":
            self.results.append(Result(**message))
            self._show(self.results[-1])
        elif kind == "start":
            self._step("", message["title"], "running")
        elif kind == "plan":
            for node in message["nodes"]:
                self._step(node, "checks", "running")
        elif kind == "done":
            self._show_done(message["node"])
        elif kind == "unknown":
            self.unknown = tuple(message["entries"])
        elif kind is None and line.strip():
            self.noise = f"{self.noise[-400:]} {line.strip()}".strip()

    def _step(self, node: str, name: str, status: str, detail: str = "") -> None:
        self._emit(Step(phase=self._phase, node=node, name=name, status=status, detail=detail))

    def _show(self, result: Result) -> None:
        """Progress shows what failed, and every check that runs once; the rest is counted."""
        if result.bad or result.status == "warning":
            self._step(result.node, result.title, "failed" if result.bad else "ok", result.headline)
        elif not result.node:
            self._step("", result.title, "ok" if result.status == "ok" else "skipped", result.evidence)

    def _show_done(self, node: str) -> None:
        if not node:
            return
        results = [result for result in self.results if result.node == node]
        bad = len([result for result in results if result.bad])
        detail = f"{bad} of {len(results)} failed" if bad else f"{len(results)} done"
        self._step(node, "checks", "failed" if bad else "ok", detail)
