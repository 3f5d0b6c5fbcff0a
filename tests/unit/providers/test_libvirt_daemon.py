"""Who works with libvirt is counted, so that its daemons end with the last lab, and with nobody's work in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.providers.without_systemd import host_state, libvirt_daemon


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "runtime_dir", lambda: tmp_path)
    return tmp_path


def test_one_of_two_users_is_not_alone(runtime: Path) -> None:
    first, second = libvirt_daemon.join(), libvirt_daemon.join()
    assert not first.upgrade()
    second.release()
    assert first.upgrade()
    first.release()


def test_the_last_user_leaves_nothing(runtime: Path) -> None:
    only = libvirt_daemon.join()
    assert only.upgrade()
    only.release(remove=True)
    assert list(runtime.iterdir()) == []


def test_stop_removes_the_log_and_the_device_directory_with_the_record(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone = []
    monkeypatch.setattr(host_state, "clean_libvirt", undone.append)
    before = {"boot_id": host_state.boot_id(), "sysctls": {"net/ipv4/ip_forward": "0"}, "rules": {}, "paths": []}
    (runtime / "libvirt-daemons.json").write_text(json.dumps({"libvirtd": 0, "virtlogd": 0, "before": before}))
    (runtime / "libvirt-daemons.log").write_text("noise")
    (runtime / "dev").mkdir()
    libvirt_daemon.stop(lambda event: None, "destroy")
    assert list(runtime.iterdir()) == []
    assert [host.sysctls for host in undone] == [{"net/ipv4/ip_forward": "0"}]


def test_stop_touches_nothing_of_a_libvirt_that_somebody_else_started(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "clean_libvirt", lambda before: pytest.fail("not ours"))
    (runtime / "other").touch()
    libvirt_daemon.stop(lambda event: None, "destroy")
    assert [path.name for path in runtime.iterdir()] == ["other"]
