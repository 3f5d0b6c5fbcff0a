"""The module node_state, run as on a node, and what its action hands it: the union of what the roles declare."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.modules import load_module

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


def read_state(**declared: Any) -> dict[str, Any]:
    given = json.dumps({"ANSIBLE_MODULE_ARGS": declared})
    argv = [sys.executable, str(PLUGINS / "modules" / "node_state.py")]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60)
    state: dict[str, Any] = json.loads(done.stdout)["ansible_facts"]["node_state"]
    return state


def test_nothing_is_read_that_no_role_declares() -> None:
    state = read_state()
    assert not any(state.values())
    assert "packages" not in state


def test_the_distribution_is_told_as_ansible_tells_it() -> None:
    argv = [sys.executable, str(PLUGINS / "modules" / "node_state.py")]
    done = subprocess.run(argv, input='{"ANSIBLE_MODULE_ARGS": {}}', capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["ansible_facts"]["os_family"] in ("Debian", "RedHat")


def test_a_file_is_known_by_mode_sum_and_time(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(0o600)
    known = read_state(files=[str(path), str(tmp_path / "missing")])["files"]
    assert known == {
        str(path): {
            "mode": "0600",
            "mtime": path.stat().st_mtime,
            "target": str(path),
            "mounted": False,
            "sha256": hashlib.sha256(b"secret").hexdigest(),
        }
    }


def test_a_link_is_known_by_its_target_even_when_that_is_gone(tmp_path: Path) -> None:
    link = tmp_path / "resolv.conf"
    link.symlink_to("/run/systemd/resolve/no-such-file")
    assert read_state(files=[str(link)])["files"][str(link)]["target"] == "/run/systemd/resolve/no-such-file"


def test_contents_are_read_by_pattern(tmp_path: Path) -> None:
    (tmp_path / "images-a").write_text("one two\n")
    (tmp_path / "other").write_text("x")
    assert read_state(contents=[str(tmp_path / "images-*")])["contents"] == {str(tmp_path / "images-a"): "one two\n"}


def test_a_setting_that_the_kernel_does_not_have_is_null() -> None:
    state = read_state(sysctls=["kernel.hostname", "net.no_such_setting"])
    assert state["sysctls"] == {
        "kernel.hostname": Path("/proc/sys/kernel/hostname").read_text().strip(),
        "net.no_such_setting": None,
    }


def test_only_modules_that_the_kernel_has_are_named() -> None:
    assert read_state(modules=["proc", "no_such_module"])["modules"] == ["proc"]


def test_free_space_is_that_of_the_directory_to_come(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "b")
    assert read_state(free_space=[path])["free_mb"][path] > 0


def test_a_unit_without_a_file_is_neither_enabled_nor_active() -> None:
    units = read_state(units=["no-such-unit.service", "*.no-such-type"])["units"]
    assert units == {"no-such-unit.service": {"enabled": "", "active": False}}


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The action's module, with the roles of a directory of the test's own."""
    module = load_module(PLUGINS / "action" / "node_state.py")
    monkeypatch.setattr(module, "ROLES", tmp_path)
    return module


def test_declarations_of_all_roles_become_one(action: Any, tmp_path: Path) -> None:
    for role, text in {"a": "packages: true\nunits: [b.service]\n", "b": "units: [a.service, b.service]\n"}.items():
        (tmp_path / role / "meta").mkdir(parents=True)
        (tmp_path / role / "meta" / "state.yml").write_text(text)
    assert action.declarations() == {"packages": True, "units": ["a.service", "b.service"]}
