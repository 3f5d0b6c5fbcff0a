"""What the raw events of a run are made into."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ansible_runner
import pytest
from ansible_runner.utils import dump_artifacts

from orchestrator.events import Event, PhaseEnded, PhaseStarted, Step, discard
from orchestrator.paths import LabDir
from orchestrator.runner import INVENTORY, _Listener, _outlast, cause_of, run_playbook


def test_nodes_on_which_nothing_changed_are_counted_with_zero() -> None:
    listener = _Listener(lambda event: None)
    listener.handle({"event": "playbook_on_stats", "event_data": {"processed": {"m": 1, "w1": 1}, "changed": {"m": 2}}})
    assert listener.changed == {"m": 2, "w1": 0}


def test_each_play_is_a_phase_and_each_task_a_step() -> None:
    seen: list[Event] = []
    listener = _Listener(seen.append)
    listener.handle({"event": "playbook_on_play_start", "event_data": {"name": "Prepare"}})
    task = {"host": "m", "role": "docker", "task": "Install", "res": {"changed": True}}
    listener.handle({"event": "runner_on_ok", "event_data": task})
    listener.handle({"event": "playbook_on_play_start", "event_data": {"name": "Join"}})
    assert [type(event) for event in seen] == [PhaseStarted, Step, PhaseEnded, PhaseStarted]
    assert isinstance(seen[1], Step)
    assert (seen[1].name, seen[1].status) == ("docker: Install", "changed")


def test_the_cause_of_a_failed_command_is_its_error_output() -> None:
    assert cause_of({"msg": "non-zero return code", "stderr": "a\nno space left"}) == "a / no space left"


def test_the_cause_of_a_command_that_ends_with_advice_is_what_it_calls_an_error() -> None:
    said = "[preflight] fatal errors:\n\t[ERROR Port-6443]: in use\n[preflight] advice\nTo see the trace of this error"
    assert cause_of({"msg": "non-zero return code", "stderr": said}) == "[ERROR Port-6443]: in use"


def test_the_cause_of_a_task_with_secrets_is_withheld() -> None:
    assert "withheld" in cause_of({"censored": "the output has been hidden", "msg": "token abc"})


class Stubborn(threading.Thread):
    """A run that needs three looks to end, at each of which the user presses Ctrl-C again."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def is_alive(self) -> bool:
        return self.looks < 3

    def join(self, timeout: float | None = None) -> None:
        self.looks += 1
        raise KeyboardInterrupt


def test_a_second_interruption_does_not_leave_ansible_at_work() -> None:
    run = Stubborn()
    _outlast(run, 30)
    assert run.looks == 3


def test_the_inventory_of_a_run_is_private_and_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = LabDir(tmp_path / ".labctl" / "lab")
    lab.create()
    left = lab.runs / "1" / INVENTORY
    left.parent.mkdir(parents=True)
    left.write_text("of a run that was killed")
    modes: list[int] = []

    def fake_run_async(**arguments: Any) -> tuple[threading.Thread, SimpleNamespace]:
        dump_artifacts(arguments)  # what the real one begins with
        modes.append((lab.runs / "2" / INVENTORY).stat().st_mode & 0o777)
        return threading.Thread(), SimpleNamespace(rc=0)

    monkeypatch.setattr(ansible_runner, "run_async", fake_run_async)
    inventory = {"all": {"hosts": {"m": {"proxy": "http://me:hunter2@proxy"}}}}
    run_playbook("site.yml", lab=lab, inventory=inventory, emit=discard, deadline=10)
    assert modes == [0o600]
    assert not list(lab.runs.rglob("hosts.json"))
