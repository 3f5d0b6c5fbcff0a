"""Which Docker engine is meant, whose process a record is about, and what its log says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from orchestrator.providers.container import engine
from orchestrator.providers.without_systemd import private_engine
from orchestrator.providers.without_systemd.daemon import Lock, start_time
from orchestrator.providers.without_systemd.private_engine import OwnEngine


def test_docker_host_goes_before_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///somewhere/docker.sock")
    assert engine.user_url() == "unix:///somewhere/docker.sock"


def test_the_current_context_of_the_docker_command_line_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    meta = tmp_path / "contexts" / "meta" / "0123" / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "colima", "Endpoints": {"docker": {"Host": "unix:///c/docker.sock"}}}))
    assert engine._context_url(tmp_path) == "unix:///c/docker.sock"


def test_a_damaged_docker_configuration_means_no_context(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert engine._context_url(tmp_path) is None


def test_an_engine_that_was_asked_for_and_does_not_answer_is_an_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    problem = engine.obstacle()
    assert problem is not None
    assert "does not answer" in problem.message
    assert problem.fix


def test_an_engine_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    problem = engine.obstacle()
    assert problem is not None
    assert "another machine" in problem.message


def test_a_record_counts_only_for_the_same_process_of_the_same_boot(tmp_path: Path) -> None:
    own = OwnEngine(tmp_path)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = start_time(os.getpid())
    own.write_state({"pid": os.getpid(), "started": started, "boot_id": boot})
    assert own.process() == os.getpid()
    assert started is not None
    own.write_state({"pid": os.getpid(), "started": started + 1, "boot_id": boot})
    assert own.process() is None
    own.write_state({"pid": os.getpid(), "started": started, "boot_id": "another"})
    assert own.process() is None
    own.state.write_text("{ half")
    assert own.process() is None


def test_the_log_line_that_names_the_cause_is_told_without_its_decoration(tmp_path: Path) -> None:
    log = tmp_path / "dockerd.log"
    assert private_engine.last_line(log) == "it left no log"
    log.write_text('time="2026-01-01" level=fatal msg="failed to start daemon: no space"\n\n')
    assert private_engine.last_line(log) == "failed to start daemon: no space"
    log.write_text("panic: plain text\n")
    assert private_engine.last_line(log) == "panic: plain text"


def test_shared_locks_stand_together_and_keep_an_exclusive_one_out(tmp_path: Path) -> None:
    first, second, alone = (Lock(tmp_path / "lock") for _ in range(3))
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    assert not alone.acquire()
    first.release()
    second.release()
    assert alone.acquire()


def test_whoever_waits_for_a_lock_that_is_removed_gets_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder, waiter = Lock(path), Lock(path)
    assert holder.acquire()
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(waiter.acquire(timeout=10)))
    thread.start()
    holder.release(remove=True)
    thread.join()
    assert taken == [True]
    assert path.exists()
    assert not Lock(path).acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace takes root")
@pytest.mark.parametrize(("inside", "ours"), [([], True), (["unshare", "--mount"], False)], ids=["here", "elsewhere"])
def test_the_engine_of_another_mount_namespace_is_not_ours(tmp_path: Path, inside: list[str], ours: bool) -> None:
    program = tmp_path / "dockerd"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([*inside, str(program), "60"]) as started:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{started.pid}/comm").read_text().strip() != "dockerd":
            assert time.monotonic() < deadline
        found = list(private_engine._processes(OwnEngine(tmp_path)))
        started.kill()
    assert (started.pid in found) is ours
