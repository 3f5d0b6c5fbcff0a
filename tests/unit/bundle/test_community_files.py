"""Single files of the community: their sum is known, confirmed, or what was fetched is not used."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import bundle, catalog
from orchestrator.addresses import Addresses
from orchestrator.bundle import Wish
from orchestrator.bundle.community import Fetcher
from orchestrator.bundle.known import Known
from orchestrator.bundle.recipe import Archive
from orchestrator.errors import HostError

CONTENT = b"a manifest\n" * 1000
SUM = hashlib.sha256(CONTENT).hexdigest()
NAME = "calico-3"


class HalfServer(BaseHTTPRequestHandler):
    """A server on the loopback that hangs up in the middle of the file, and goes on there when it is asked to."""

    def do_GET(self) -> None:
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin:] if begin else CONTENT[: len(CONTENT) // 2])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HalfServer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetcher(address: str, tmp_path: Path, said: list[str], *, sha256: str | None = None, accepted: str = "") -> Fetcher:
    addresses = Addresses(hosts={"raw.githubusercontent.com": address})
    inputs = bundle.community(Wish("1.37.2", "debian-12"), catalog.load(), addresses)
    assert inputs.upstream is not None
    archive = Archive(NAME, "https://raw.githubusercontent.com/calico.yaml", sha256)
    inputs = replace(inputs, upstream=replace(inputs.upstream, calico=archive))
    known = Known(tmp_path / "known.json", {NAME: accepted} if accepted else {})
    root: Any = SimpleNamespace(build=tmp_path)
    made = Fetcher(root, inputs, tmp_path, known, said.append)
    made.downloads.sleep = lambda seconds: None
    return made


@pytest.mark.parametrize("how", ["known", "accepted"])
def test_a_file_whose_sum_is_known_is_taken_and_fetched_on_after_a_cut(address: str, tmp_path: Path, how: str) -> None:
    said: list[str] = []
    sums = {"sha256": SUM} if how == "known" else {"accepted": SUM}
    file = fetcher(address, tmp_path, said, **sums)._calico()  # type: ignore[arg-type]
    assert file is not None
    assert file.read_bytes() == CONTENT
    assert [text for text in said if "the connection was cut" in text]


def test_a_file_with_another_sum_is_not_used(address: str, tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        fetcher(address, tmp_path, [], sha256="0" * 64)._calico()
    assert f"has the sha256 {SUM}, not {'0' * 64}" in caught.value.message
    assert "is not used" in caught.value.message
    assert not list(tmp_path.glob("calico*"))


def test_a_file_whose_sum_nobody_has_confirmed_is_refused_with_what_confirms_it(address: str, tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        fetcher(address, tmp_path, [])._calico()
    assert f"--accept {NAME}={SUM}" in caught.value.fix
