"""The only user of ansible_runner: runs a playbook over an inventory and turns raw events into typed ones."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.errors import ConvergeError
from orchestrator.events import Emit, PhaseEnded, PhaseStarted, Step

# Events without a task of their own, or about handlers' bookkeeping, say nothing to a user.
_TASK_STATUS = {
    "runner_on_start": "running",
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_retry": "running",
}

# Files of a run's directory that hold secrets: the arguments of modules, the user's whole environment, and the
# variables of every node with a proxy's password among them.
EVENTS = "artifacts/*/job_events/*"
ENVIRONMENT = "artifacts/*/command"
INVENTORY = "inventory/hosts.json"


@dataclass(frozen=True)
class TaskFailure:
    """A task (`role: task`) that failed on one node, with the cause in the module's own words."""

    node: str
    task: str
    cause: str
    unreachable: bool = False


@dataclass(frozen=True)
class RunSummary:
    """What a finished run did: changed tasks per node, and where its artefacts are."""

    changed: Mapping[str, int]
    directory: Path


@dataclass
class _Listener:
    """Collects what the raw events of one run say. Called from the runner's thread only."""

    emit: Emit
    play: str = ""
    play_started: float = 0.0
    failures: list[TaskFailure] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def handle(self, raw: Mapping[str, Any]) -> bool:
        name, data = raw.get("event", ""), raw.get("event_data") or {}
        if name == "playbook_on_play_start":
            self._next_play(str(data.get("name") or data.get("play") or "play"))
        elif name == "playbook_on_stats":
            # Ansible leaves out the nodes on which nothing changed.
            counts = data.get("changed") or {}
            self.changed = {node: int(counts.get(node, 0)) for node in data.get("processed") or {}}
            self.lost = {*(data.get("failures") or {}), *(data.get("dark") or {})}
        elif name in _TASK_STATUS and data.get("host"):
            self._task(name, data)
        # Not to be kept: a module's arguments are in it, and with them what the files it writes hold, passwords too.
        return False

    def decisive(self) -> list[TaskFailure]:
        """The failure that ended each lost node: the last one, after every rescue that explains an earlier one."""
        last = {failure.node: failure for failure in self.failures if failure.node in self.lost}
        return list(last.values()) or self.failures

    def _next_play(self, title: str) -> None:
        self.end_play("ok")
        self.play, self.play_started = title, time.monotonic()
        self.emit(PhaseStarted(phase=title, title=title))

    def end_play(self, result: str) -> None:
        if self.play:
            self.emit(PhaseEnded(phase=self.play, result=result, seconds=time.monotonic() - self.play_started))
            self.play = ""

    def _task(self, name: str, data: Mapping[str, Any]) -> None:
        node, outcome = str(data["host"]), data.get("res") or {}
        title = ": ".join(part for part in (data.get("role"), data.get("task")) if part)
        status = _TASK_STATUS[name]
        if status == "ok" and outcome.get("changed"):
            status = "changed"
        cause = ""
        if status in ("failed", "unreachable") and not data.get("ignore_errors"):
            cause = cause_of(outcome)
            self.failures.append(TaskFailure(node, title, cause, unreachable=status == "unreachable"))
        self.emit(Step(phase=self.play, node=node, name=title, status=status, detail=cause))


# Programs that end with advice name the error in the lines before it.
_NAMES_ERROR = re.compile(r"(\[ERROR|error:|E:) ", re.IGNORECASE)


def cause_of(outcome: Mapping[str, Any]) -> str:
    """The most telling words of a module's result: its message and the last lines of its error output."""
    if outcome.get("censored"):
        return "the task handles secrets, its output is withheld"
    message = str(outcome.get("msg") or "").strip()
    items = [item for item in outcome.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
    if items and message in ("", "One or more items failed", "All items completed"):
        return cause_of(items[0])
    error = str(outcome.get("stderr") or outcome.get("module_stderr") or "").strip()
    if message in ("", "non-zero return code", "MODULE FAILURE") or message.startswith("MODULE FAILURE"):
        lines = [line.strip() for line in error.splitlines()]
        named = [line for line in lines if _NAMES_ERROR.match(line)]
        return " / ".join((named or lines)[-3:]) or message or "no message"
    return message


def run_playbook(
    playbook: str | Path,
    *,
    lab: paths.LabDir,
    inventory: Mapping[str, Any],
    emit: Emit,
    deadline: float,
    extra_vars: Mapping[str, Any] | None = None,
    skipped: Sequence[str] = (),
    again: str = "labctl provision",
) -> RunSummary:
    """Run `playbooks/<playbook>`, or the playbook at a Path, over an inventory; return what changed.

    Tags in `skipped` are left out; `deadline` is in seconds; `again` continues a run that failed. Each has a directory
    of its own (0700): an old one would lend its extravars. Raises ConvergeError naming node, role, task and cause.
    """
    import ansible_runner

    directory = _next_run_directory(lab.runs)
    listener = _Listener(emit)
    cancelled = threading.Event()
    ends_at = time.monotonic() + deadline
    thread, result = ansible_runner.run_async(
        private_data_dir=str(directory),
        playbook=str(playbook if isinstance(playbook, Path) else paths.data("playbooks", playbook)),
        inventory=dict(inventory),
        extravars=dict(extra_vars or {}),
        skip_tags=",".join(skipped) or None,
        envvars=_environment(directory),
        event_handler=listener.handle,
        status_handler=lambda status, runner_config: _remove_files(directory, ENVIRONMENT),
        cancel_callback=lambda: cancelled.is_set() or time.monotonic() > ends_at,
        quiet=True,
        suppress_env_files=True,  # it names paths only, but whoever adds to it must not end up in a file
        settings={"pexpect_timeout": 0.2},
    )
    try:
        while thread.is_alive():
            thread.join(0.2)
    except BaseException:
        cancelled.set()
        _outlast(thread, 30)
        listener.end_play("interrupted")
        raise
    finally:
        _remove_files(directory, INVENTORY)
    listener.end_play("ok" if result.rc == 0 else "failed")
    if result.rc != 0:
        raise _failure(listener, directory, time.monotonic() > ends_at, deadline, again)
    return RunSummary(listener.changed, directory)


def _outlast(thread: threading.Thread, seconds: float) -> None:
    """Wait for the end of a cancelled run, through every further Ctrl-C: leaving now would leave Ansible at work."""
    ends_at = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < ends_at:
        with contextlib.suppress(KeyboardInterrupt):
            thread.join(0.2)


def _remove_files(directory: Path, pattern: str) -> None:
    for file in directory.glob(pattern):
        file.unlink(missing_ok=True)


def _next_run_directory(runs: Path) -> Path:
    for pattern in (EVENTS, ENVIRONMENT, INVENTORY):
        _remove_files(runs, f"*/{pattern}")  # of a run that was killed before it could
    numbers = [int(path.name) for path in runs.iterdir() if path.name.isdigit()]
    directory = runs / str(max(numbers, default=0) + 1)
    directory.mkdir(mode=0o700)
    return directory


def _environment(directory: Path) -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(paths.data("ansible.cfg")),
        "ANSIBLE_ROLES_PATH": str(paths.data("roles")),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_NOCOLOR": "1",
        # ansible_runner switches it off otherwise, and ssh would not insist on the pinned host keys.
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "LC_ALL": "C.UTF-8",
        # Ansible lives beside the Python that runs labctl, which need not be on the user's PATH.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    }


def _failure(listener: _Listener, directory: Path, timed_out: bool, deadline: float, again: str) -> ConvergeError:
    log = directory / "artifacts"
    stdout = next(iter(sorted(log.glob("*/stdout"))), log)
    if timed_out:
        return ConvergeError(
            f"the roles did not finish within {deadline:.0f} s",
            fix=f"run `{again}` again: it continues where this run stopped",
            log=stdout,
        )
    if not listener.failures:
        words = [line.strip() for line in _text(stdout).splitlines() if line.strip()]
        cause = words[-1] if words else "it printed nothing"
        return ConvergeError(f"Ansible stopped before any task failed: {cause}", fix="read the log", log=stdout)
    failures = listener.decisive()
    first = failures[0]
    others = sorted({failure.node for failure in failures} - {first.node})
    message = f"{first.node}: {first.task}\n{first.cause}"
    if others:
        message += f"\nalso failed on: {', '.join(others)}"
    fix = f"repair the cause and run `{again}` again: it continues where this run stopped"
    if first.unreachable:
        fix = f"labctl status; labctl provision starts what is stopped (no SSH to {first.node})"
    return ConvergeError(message, fix=fix, log=stdout)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
