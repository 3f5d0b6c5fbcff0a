"""The module managed_files, run as on a node: right files stay untouched, blocks leave the rest of a file alone."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[2] / "plugins" / "modules" / "managed_files.py"
OWN = {"owner": getpass.getuser()}


def run(*files: dict[str, Any], check: bool = False) -> dict[str, Any]:
    arguments = {"files": [{**OWN, **file} for file in files], "_ansible_check_mode": check, "_ansible_diff": True}
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    done = subprocess.run([sys.executable, str(MODULE)], input=given, capture_output=True, text=True, timeout=60)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def block(name: str, text: str) -> str:
    return f"# BEGIN {name} (managed)\n{text}\n# END {name} (managed)\n"


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    return path


def test_a_new_file_gets_its_directories_content_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.conf"
    result = run({"path": str(path), "content": "x = 1\n", "mode": "0600"})
    assert result["changed_files"] == [str(path)]
    assert path.read_text() == "x = 1\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_right_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "file.conf"
    run({"path": str(path), "content": "x\n"})
    before = path.stat()
    assert run({"path": str(path), "content": "x\n"})["changed"] is False
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_private_file_gets_private_directories(tmp_path: Path) -> None:
    run({"path": str(tmp_path / "private" / "key"), "content": "x", "mode": "0600"})
    run({"path": str(tmp_path / "public" / "file"), "content": "x"})
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o755


def test_check_mode_reports_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.conf"
    result = run({"path": str(path), "content": "x\n"}, check=True)
    assert result["changed"] is True
    assert result["diff"][0]["after"] == "x\n"
    assert not path.exists()


def test_a_wrong_mode_alone_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "file.conf"
    run({"path": str(path), "content": "x\n"})
    path.chmod(0o666)
    assert run({"path": str(path), "content": "x\n"})["changed"] is True
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_block_is_appended_once_then_replaced_in_place(hosts: Path) -> None:
    assert run({"path": str(hosts), "block": "lab", "content": "10.0.0.1 a\n"})["changed"] is True
    with hosts.open("a") as file:
        file.write("10.9.9.9 own\n")
    assert run({"path": str(hosts), "block": "lab", "content": "10.0.0.1 a\n"})["changed"] is False
    run({"path": str(hosts), "block": "lab", "content": "10.0.0.2 b\n"})
    assert hosts.read_text() == "127.0.0.1 localhost\n" + block("lab", "10.0.0.2 b") + "10.9.9.9 own\n"


def test_a_doubled_block_becomes_one(hosts: Path) -> None:
    hosts.write_text("top\n" + block("lab", "old") + "middle\n" + block("lab", "older"))
    run({"path": str(hosts), "block": "lab", "content": "new"})
    assert hosts.read_text() == "top\n" + block("lab", "new") + "middle\n"


def test_a_removed_block_leaves_the_rest(hosts: Path) -> None:
    run({"path": str(hosts), "block": "lab", "content": "10.0.0.1 a"})
    run({"path": str(hosts), "block": "lab", "state": "absent"})
    assert hosts.read_text() == "127.0.0.1 localhost\n"


def test_absent_removes_a_file_and_is_content_without_one(tmp_path: Path) -> None:
    path = tmp_path / "file.conf"
    path.write_text("x\n")
    assert run({"path": str(path), "state": "absent"})["changed"] is True
    assert (
        run({"path": str(path), "state": "absent"}, {"path": str(path), "block": "b", "state": "absent"})["changed"]
        is False
    )
    assert not path.exists()


def test_a_symlink_in_the_way_is_replaced_by_the_file(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "resolv.conf"
    target.write_text("nameserver 127.0.0.53\n")
    path.symlink_to(target)
    run({"path": str(path), "content": "nameserver 1.1.1.1\n"})
    assert not path.is_symlink()
    assert target.read_text() == "nameserver 127.0.0.53\n"


def test_what_belongs_to_its_reader_is_not_overwritten_and_comes_back_when_missing(tmp_path: Path) -> None:
    path = tmp_path / "exercise.yaml"
    file_options = {"path": str(path), "content": "replicas: 3\n", "overwrite": False}
    assert run(file_options)["changed"] is True
    path.write_text("replicas: 6\n")
    assert run(file_options)["changed"] is False
    assert path.read_text() == "replicas: 6\n"


def test_a_copy_follows_its_source(tmp_path: Path) -> None:
    source, copy = tmp_path / "admin.conf", tmp_path / "config"
    source.write_text("one")
    file_options = {"path": str(copy), "source": str(source), "mode": "0600"}
    run(file_options)
    source.write_text("two")
    assert run(file_options)["changed_files"] == [str(copy)]
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("two", 0o600)


def test_a_missing_source_is_refused_by_name(tmp_path: Path) -> None:
    result = run({"path": str(tmp_path / "config"), "source": str(tmp_path / "admin.conf")})
    assert result["failed"] is True
    assert "admin.conf" in result["msg"]


def test_a_user_that_does_not_exist_is_refused_by_name() -> None:
    result = run({"path": "labs/file", "users": ["nobody-of-this-name"]})
    assert result["msg"] == "nobody-of-this-name is no user of this node"


def test_a_directory_in_the_way_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in run({"path": str(tmp_path)})["msg"]


def test_a_binary_file_can_be_removed_and_a_text_of_any_bytes_keeps_them(tmp_path: Path) -> None:
    binary, text = tmp_path / "images.tar", tmp_path / "hosts"
    binary.write_bytes(bytes(range(256)))
    text.write_bytes(b"\xd0 odd\n")
    result = run({"path": str(binary), "state": "absent"}, {"path": str(text), "block": "lab", "content": "x"})
    assert result["changed_files"] == [str(binary), str(text)]
    assert text.read_bytes() == b"\xd0 odd\n" + block("lab", "x").encode()
