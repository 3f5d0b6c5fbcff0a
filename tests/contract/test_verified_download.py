"""The module verified_download, run as on a node: nothing but the expected bytes ever stands in a file's place."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.web import Site, serving

MODULE = Path(__file__).resolve().parents[2] / "plugins" / "modules" / "verified_download.py"
CONTENT = b"layers" * 300_000
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "images.tar").write_bytes(CONTENT)
    with serving(tmp_path / "site", "127.0.0.1") as site:
        yield site


def run(site: Site, dest: Path, name: str = "images.tar", *, sha256: str = SUM, check: bool = False) -> dict[str, Any]:
    arguments = {"url": f"{site.url}/{name}", "dest": str(dest), "sha256": sha256, "_ansible_check_mode": check}
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    done = subprocess.run([sys.executable, str(MODULE)], input=given, capture_output=True, text=True, timeout=60)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_file_comes_whole_and_private(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "images.tar"
    assert run(site, dest) | {"invocation": None} == {"changed": True, "sha256": SUM, "invocation": None}
    assert dest.read_bytes() == CONTENT
    assert dest.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_right_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "images.tar"
    dest.write_bytes(CONTENT)
    assert run(site, dest, "not-there")["changed"] is False


@pytest.mark.parametrize("name", ["images.tar", "not-there"])
def test_what_is_not_the_expected_file_leaves_everything_as_it_was(site: Site, tmp_path: Path, name: str) -> None:
    dest = tmp_path / "images.tar"
    dest.write_bytes(b"of before")
    result = run(site, dest, name, sha256="0" * 64)
    assert result["failed"]
    assert site.url in result["msg"]
    assert dest.read_bytes() == b"of before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["images.tar"]


def test_check_mode_foresees_the_change_and_fetches_nothing(site: Site, tmp_path: Path) -> None:
    assert run(site, tmp_path / "images.tar", check=True)["changed"] is True
    assert not (tmp_path / "images.tar").exists()


def test_a_transfer_that_ends_early_is_told_even_without_a_sum(site: Site, tmp_path: Path) -> None:
    class Interrupted(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])

        def log_message(self, *_: object) -> None:
            """The module says what went wrong."""

    with HTTPServer(("127.0.0.1", 0), Interrupted) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        there = Site(tmp_path, f"http://127.0.0.1:{server.server_port}")
        result = run(there, tmp_path / "images.tar", sha256="")
        thread.join()
    assert f"1000 of {len(CONTENT)} bytes" in result["msg"]
    assert not (tmp_path / "images.tar").exists()
