"""Serves a bundle to the nodes over HTTP, read-only and only while the `with` block runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.bundle import pieces
from orchestrator.bundle.manifest import MANIFEST, BundleInfo
from orchestrator.errors import HostError

_CHUNK = 1 << 20
# Below it lie the files of a second bundle.
ALSO = "also"


@dataclass
class Served:
    """A bundle that is being served at `url` (no slash at the end); counts what was asked for."""

    url: str
    requests: dict[str, int] = field(default_factory=dict)
    bytes_sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, path: str, size: int) -> None:
        with self._lock:
            self.requests[path] = self.requests.get(path, 0) + 1
            self.bytes_sent += size

    @property
    def apt_url(self) -> str:
        return f"{self.url}/apt"

    @property
    def rpm_url(self) -> str:
        return f"{self.url}/rpm"

    @property
    def image_archive_url(self) -> str:
        return f"{self.url}/images.tar"


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the files the manifests name, with ranges; nothing else exists."""

    protocol_version = "HTTP/1.1"
    # A node that vanished must not keep a thread for ever.
    timeout = 60

    def __init__(self, *args: Any, served: Served, files: Mapping[str, Path]) -> None:
        self.served, self.files = served, files
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/").replace("/./", "/")
        if name not in self.files:
            self._empty(HTTPStatus.NOT_FOUND)
            return
        with pieces.open_file(self.files[name]) as stream:
            size = stream.seek(0, 2)
            span = _span(self.headers.get("Range", ""), size)
            if span is None:
                self._empty(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            start, end = span
            self.send_response(HTTPStatus.OK if (start, end) == (0, size) else HTTPStatus.PARTIAL_CONTENT)
            if (start, end) != (0, size):
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Content-Type", "application/octet-stream")
            self.end_headers()
            self.served.count(name, end - start if body else 0)
            if not body:
                return
            stream.seek(start)
            if end == size:
                copyfileobj(stream, self.wfile, _CHUNK)
            else:
                self.wfile.write(stream.read(end - start))

    def _empty(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Stay quiet: the terminal belongs to the live view."""


def _span(header: str, size: int) -> tuple[int, int] | None:
    """First byte and end of a `Range: bytes=a-b` header; all of the file without one; None when it cannot be met."""
    if not header.startswith("bytes=") or "," in header:
        return 0, size
    first, _, last = header.removeprefix("bytes=").partition("-")
    try:
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last) + 1, size) if first and last else size
    except ValueError:
        return 0, size
    return (start, end) if start < end or (start == end == size == 0) else None


def _files(bundle: BundleInfo, below: str) -> dict[str, Path]:
    """The files of a bundle by the names under which they are asked for."""
    return {f"{below}{name}": bundle.path / name for name in (MANIFEST, *(file.path for file in bundle.files))}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is no event for the user."""


@contextmanager
def serve(bundle: BundleInfo, host: str, port: int, also: BundleInfo | None = None) -> Iterator[Served]:
    """Serve a bundle on one address of this host; port 0 takes a free one, `Served.url` tells which.

    `also` is a second bundle, served below `/also`. Raises HostError when the address or port cannot be used. At the
    end of the block nothing listens any more.
    """
    files = {**_files(bundle, ""), **(_files(also, f"{ALSO}/") if also else {})}
    served = Served("")

    def handler(*args: Any) -> BaseHTTPRequestHandler:
        return _Handler(*args, served=served, files=files)

    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise HostError(
            f"the bundle cannot be served at http://{host}:{port}/: {error.strerror or error}",
            fix=f"ss -ltnp 'sport = :{port}'   # shows who has the port; end it or change the lab's subnet",
        ) from error
    served.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="bundle", daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
