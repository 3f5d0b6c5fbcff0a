"""Runs the checks: writes the job, starts the engine's process, turns its lines into events and a Report."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import paths, proc
from ..errors import LabError, SpecError
from ..events import Emit, Step, discard
from .job import ClusterTarget, HostTarget, Job, Selection, Target
from .report import LAYERS, CheckResult, Report, ordered

_HERE = Path(__file__).parent

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
    patience: float = 1.0,
) -> Report:
    """Run every check that applies on every node and, once, on the cluster; return the Report.

    `deadline` is in seconds: then whatever has no verdict gets the verdict `error`. `only` chooses layers,
    nodes, `LAYER/NODE` or check ids. `patience` stretches the limits of single commands. `files` replaces
    labctl's own check files. Raises SpecError, before any node is contacted, when `only` names what does not
    exist; LabError when the engine itself breaks.
    """
    started = time.time()
    clock = time.monotonic()
    chosen = check_files(with_cluster=cluster is not None) if files is None else tuple(str(path) for path in files)
    root = str(paths.data("roles").parent)
    job = Job(tuple(targets), cluster, chosen, root, Selection(tuple(only)), deadline, direct, host, patience)
    listener = _Listener(emit, phase)
    with tempfile.TemporaryDirectory(prefix="labctl-verify-") as scratch:
        asked = Path(scratch) / "job.json"
        asked.write_text(job.as_json(), encoding="utf-8")
        package = Path(__file__).resolve().parents[2]
        env = {"PYTHONPATH": str(package)}
        argv = [sys.executable, "-P", "-m", f"{__package__}.engine", str(asked)]
        try:
            proc.stream(argv, listener.line, timeout=deadline + 30, env=env, cwd=Path(scratch), grace=_GRACE)
        except proc.ProcessFailed as failed:
            if not listener.results:
                raise LabError(
                    f"the checks could not be run: {listener.noise or failed.result.tail}", fix="labctl verify --debug"
                ) from None
    if listener.unknown:
        raise SpecError(
            f"--only: there is no layer, node or check called {', '.join(listener.unknown)}",
            fix=f"layers: {', '.join(LAYERS)}; nodes: {', '.join(target.name for target in targets)}; "
            "a check's id as `labctl verify --output json` shows it",
        )
    if not listener.results:
        raise LabError(f"no check was run: {listener.noise or 'the engine said nothing'}", fix="labctl verify --debug")
    names = [target.name for target in targets]
    return Report(lab, started, time.monotonic() - clock, ordered(listener.results, names))


def check_files(*, with_cluster: bool) -> tuple[str, ...]:
    """The files that hold checks: the host's, the machine's, those of every role, the cluster's."""
    roles = paths.data("roles")
    found = [_HERE / "host_checks" / "host.py", *sorted(_HERE.glob("machine_checks/[a-z]*.py"))]
    found += sorted(roles.glob("*/tests/test_*.py"))
    if with_cluster:
        found += [_HERE / "cluster_checks" / f"{name}.py" for name in ("control_plane", "workload", "network", "dns")]
    return tuple(str(path) for path in found)


class _Listener:
    """Reads the engine's lines: results are kept, progress becomes events."""

    _FIELDS = frozenset(field.name for field in fields(CheckResult))

    def __init__(self, emit: Emit, phase: str) -> None:
        self.results: list[CheckResult] = []
        self.unknown: tuple[str, ...] = ()
        self.noise = ""
        self._emit = emit
        self._phase = phase

    def line(self, text: str) -> None:
        message: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            message = json.loads(text)
        kind = message.pop("kind", None) if isinstance(message, dict) else None
        if kind == "result":
            result = CheckResult(**{key: value for key, value in message.items() if key in self._FIELDS})
            self.results.append(result)
            self._tell(result)
        elif kind == "start":
            self._emit(Step(phase=self._phase, name=message["title"], status="running"))
        elif kind == "done":
            self._node_done(message["node"])
        elif kind == "unknown":
            self.unknown = tuple(message["entries"])
        elif kind is None and text.strip():
            self.noise = f"{self.noise[-400:]} {text.strip()}".strip()

    def _tell(self, result: CheckResult) -> None:
        """Progress shows what is wrong, and every check that runs once for the cluster; the rest is counted."""
        if result.bad or result.status == "warning":
            first = result.evidence.splitlines()[0] if result.evidence else ""
            status = "failed" if result.bad else "ok"
            self._emit(Step(phase=self._phase, node=result.node, name=result.title, status=status, detail=first))
        elif not result.node:
            status = "ok" if result.status == "ok" else "skipped"
            self._emit(Step(phase=self._phase, name=result.title, status=status, detail=result.evidence))

    def _node_done(self, node: str) -> None:
        if not node:
            return
        mine = [result for result in self.results if result.node == node]
        bad = len([result for result in mine if result.bad])
        detail = f"{bad} of {len(mine)} failed" if bad else f"{len(mine)} done"
        self._emit(Step(phase=self._phase, node=node, name="checks", status="failed" if bad else "ok", detail=detail))
