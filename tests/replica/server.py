"""Serves a replica over HTTPS under the hosts' true names, with their redirects, tokens and, when asked, faults."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# Where the real hosts send who asks them.
CDN = "prod-cdn.packages.k8s.io"
STORE = "us-docker.pkg.dev"
HUB, HUB_TOKENS, HUB_STORE = "registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com"
RELEASES = "release-assets.githubusercontent.com"
# A company's mirror of all of it, and its copy of Docker Hub, which asks for no token.
MIRROR, COPY = "mirror.example", "copy-of-the-hub"
REGISTRIES = {
    "registry.k8s.io": "registry.k8s.io",
    STORE: "registry.k8s.io",
    HUB: "docker.io",
    COPY: "docker.io",
    "quay.io": "quay.io",
}
MIRRORED = {
    f"{MIRROR}/all/pkgs.k8s.io": CDN + "/repositories/isv:/kubernetes:",
    f"{MIRROR}/all/download.docker.com": "download.docker.com",
    f"{MIRROR}/v2/all/registry.k8s.io": f"{STORE}/v2/k8s-artifacts-prod/images",
    f"{MIRROR}/v2/all/docker.io": f"{COPY}/v2",
}
HOSTS = (
    "pkgs.k8s.io", CDN, "download.docker.com", "registry.k8s.io", STORE, HUB, HUB_TOKENS, HUB_STORE, "quay.io",
    "raw.githubusercontent.com", "github.com", RELEASES,
)  # fmt: skip


@dataclass
class Fault:
    """What goes wrong for requests whose HOST/PATH matches: `answer` gets the handler; `times` at most."""

    pattern: str
    answer: Callable[[Handler], None]
    times: int = 10**6


@dataclass
class Replica:
    """A site that is being served: `sent` counts bytes by host, `asked` lists HOST/PATH in order."""

    site: Path
    prefixes: Mapping[str, str] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    login: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    def fault(self, name: str) -> Fault | None:
        with self.lock:
            found = next((one for one in self.faults if one.times and re.search(one.pattern, name)), None)
            if found:
                found.times -= 1
            return found


class Handler(BaseHTTPRequestHandler):
    """One request to any of the hosts."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        replica, host = self.server.replica, self.headers["Host"].partition(":")[0]
        path = unquote(urlsplit(self.path).path)
        with replica.lock:
            replica.asked.append(f"{host}{path}")
        if fault := replica.fault(f"{host}{path}"):
            fault.answer(self)
        else:
            self.answer(host, path)

    def do_HEAD(self) -> None:
        """The same without a body."""
        self.do_GET()

    def answer(self, host: str, path: str) -> None:
        """What the real host says."""
        replica = self.server.replica
        if (
            replica.login
            and self.headers.get("Authorization") != f"Basic {base64.b64encode(replica.login.encode()).decode()}"
        ):
            self.send(b"", 401, {"WWW-Authenticate": 'Basic realm="mirror"'})
            return
        for prefix, place in replica.prefixes.items():
            if f"{host}{path}".startswith(f"{prefix}/"):
                there, _, top = place.partition("/")
                host, path = there, f"/{top}/{f'{host}{path}'.removeprefix(prefix)}".replace("//", "/")
                break
        if host == HUB_TOKENS:
            self.send(json.dumps({"token": "of-the-hub", "expires_in": 300}).encode(), 200, {})
        elif host == "pkgs.k8s.io":
            self.redirect(f"https://{CDN}/repositories/isv:/kubernetes:{path}")
        elif host == CDN:
            self.file(replica.site / "pkgs.k8s.io" / path.removeprefix("/repositories/isv:/kubernetes:/"))
        elif host == "github.com":
            self.redirect(f"https://{RELEASES}{path}")
        elif host == HUB_STORE:
            self.stored(replica.site / "docker.io" / "blobs" / path.rpartition("/")[2])
        elif host == MIRROR and path == "/v2/":
            self.send(b"{}", 200, {})
        elif registry := REGISTRIES.get(host):
            self.registry(host, replica.site / registry, path)
        else:
            self.file(replica.site / host / path.lstrip("/"))

    def registry(self, host: str, place: Path, path: str) -> None:
        """The distribution protocol, for reading."""
        if host == HUB and self.headers.get("Authorization") != "Bearer of-the-hub":
            realm = f'Bearer realm="https://{HUB_TOKENS}/token",service="registry.docker.io"'
            self.send(b"{}", 401, {"WWW-Authenticate": realm})
            return
        if path.rstrip("/") == "/v2":
            self.send(b"{}", 200, {})
            return
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.+)", path)
        if match is None:
            self.send(b"", 404, {})
            return
        name, kind, what = match.groups()
        if host == "registry.k8s.io":
            self.redirect(f"https://{STORE}/v2/k8s-artifacts-prod/images/{name}/{kind}/{what}")
            return
        name = name.removeprefix("k8s-artifacts-prod/images/")
        if kind == "blobs":
            if host == HUB:
                self.redirect(f"https://{HUB_STORE}/registry-v2/{what.removeprefix('sha256:')}")
            else:
                self.file(place / "blobs" / what.removeprefix("sha256:"))
            return
        tag = place / "tags" / name / what
        digest = what if what.startswith("sha256:") else tag.read_text().strip() if tag.is_file() else ""
        file = place / "manifests" / digest.removeprefix("sha256:")
        if not digest or not file.is_file():
            self.send(b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', 404, {})
            return
        body = file.read_bytes()
        self.send(body, 200, {"Content-Type": json.loads(body)["mediaType"], "Docker-Content-Digest": digest})

    def stored(self, file: Path) -> None:
        """A store of files refuses a request that carries somebody else's token, as the real ones do."""
        if self.headers.get("Authorization"):
            self.send(b"", 400, {})
        else:
            self.file(file)

    def redirect(self, url: str) -> None:
        self.send(b"", 302, {"Location": url})

    def file(self, path: Path) -> None:
        """A file, or the part of it that is asked for."""
        if not path.is_file():
            self.send(b"not found", 404, {})
            return
        size, start = path.stat().st_size, 0
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if span:
            start = int(span[1])
            if start >= size:
                self.send(b"", 416, {"Content-Range": f"bytes */{size}"})
                return
        with path.open("rb") as stream:
            stream.seek(start)
            headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if span else {}
            self.send(stream, 206 if span else 200, headers, size - start)

    def send(self, body: Any, status: int, headers: Mapping[str, str], size: int | None = None) -> None:
        """An answer whose body is bytes or a file; the bytes that leave are counted."""
        replica, host = self.server.replica, self.headers["Host"].partition(":")[0]
        self.send_response(HTTPStatus(status))
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        if self.command == "HEAD":
            return
        pieces = [body] if isinstance(body, bytes) else iter(lambda: body.read(1 << 18), b"")
        for piece in pieces:
            self.wfile.write(piece)
            with replica.lock:
                replica.sent[host] = replica.sent.get(host, 0) + len(piece)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """What went wrong is what labctl says."""


class Server(ThreadingHTTPServer):
    """A server on a socket that was made elsewhere, perhaps in another network namespace."""

    daemon_threads = True

    def __init__(
        self, listening: socket.socket, replica: Replica, handler: type[BaseHTTPRequestHandler] = Handler
    ) -> None:
        super().__init__(listening.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.replica = listening, replica
        self.connect: Callable[[], socket.socket] = socket.socket

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class Proxy(BaseHTTPRequestHandler):
    """A company's proxy: it opens tunnels to the replica for who knows the password, whatever the host."""

    server: Server
    known = f"Basic {base64.b64encode(b'reader:se:cret').decode()}"
    replica_address = ("127.0.0.1", 443)

    def do_CONNECT(self) -> None:
        replica = self.server.replica
        with replica.lock:
            replica.asked.append(f"CONNECT {self.path}")
        if self.headers.get("Proxy-Authorization") != self.known:
            self.send_response(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
            self.send_header("Proxy-Authenticate", 'Basic realm="company"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with self.server.connect() as far:
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(far, self.connection), daemon=True)
            back.start()
            _copy(self.connection, far)
            back.join()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing to tell."""


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Everything from one socket to the other, until either ends."""
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Relay(BaseHTTPRequestHandler):
    """A Debian mirror in the namespace: hands requests on to the mirror that this host is configured with."""

    protocol_version = "HTTP/1.1"
    base = ""

    def do_GET(self) -> None:
        request = urllib.request.Request(f"{self.base}{self.path}")
        for name in ("Range", "If-Modified-Since", "If-Range"):
            if value := self.headers.get(name):
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._hand_on(answer.status, answer.headers, answer)
        except urllib.error.HTTPError as error:
            with error:
                self._hand_on(error.code, error.headers, error)

    def _hand_on(self, status: int, headers: Message, body: Any) -> None:
        content = body.read() if "Content-Length" not in headers else None
        self.send_response(status)
        for name in ("Content-Type", "Last-Modified", "Content-Range", "Content-Length"):
            if name in headers:
                self.send_header(name, headers[name])
        if content is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content is not None:
            self.wfile.write(content)
        else:
            while piece := body.read(1 << 18):
                self.wfile.write(piece)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing to tell."""


def run(server: ThreadingHTTPServer) -> Callable[[], None]:
    """Serve in the background; returns what ends it."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return end


def secured(listening: socket.socket, certificate: Path, key: Path) -> socket.socket:
    """The same socket behind TLS; a client that breaks off the handshake holds nobody up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)


# --- faults ---------------------------------------------------------------------------------------------------------


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    """An answer of this status; headers with _ for -."""
    return lambda handler: handler.send(b"no", code, {name.replace("_", "-"): value for name, value in headers.items()})


def page(handler: Handler) -> None:
    """The login page of a network."""
    handler.send(b"<html><body>Welcome to the hotel</body></html>", 200, {"Content-Type": "text/html"})


def cut(handler: Handler) -> None:
    """The connection ends in the middle of a file."""

    def hang_up() -> None:
        handler.close_connection = True
        handler.connection.close()

    _send_half(handler, hang_up)


def stalled(handler: Handler) -> None:
    """Half of a file, then nothing for as long as anybody waits, a minute at most."""

    def wait() -> None:
        handler.connection.settimeout(60)
        with contextlib.suppress(OSError):
            handler.connection.recv(1)

    _send_half(handler, wait)


def _send_half(handler: Handler, then: Callable[[], None]) -> None:
    """The true answer, of a file only its first half, after which something happens."""

    def send(body: Any, code: int, headers: Mapping[str, str], size: int | None = None) -> None:
        if size is None:
            Handler.send(handler, body, code, headers)
            return
        handler.send_response(HTTPStatus(code))
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        handler.wfile.write(body.read(size // 2))
        handler.wfile.flush()
        then()

    _answer_with(handler, send)


def flipped(handler: Handler) -> None:
    """The same answer with one byte changed."""

    def send(body: Any, code: int, headers: Mapping[str, str], size: int | None = None) -> None:
        content = bytearray(body if isinstance(body, bytes) else body.read())
        if code in (200, 206) and content:
            content[len(content) // 2] ^= 1
        Handler.send(handler, bytes(content), code, headers)

    _answer_with(handler, send)


def _answer_with(handler: Handler, send: Callable[..., None]) -> None:
    """The true answer, sent by another function."""
    handler.send = send  # type: ignore[method-assign]
    handler.answer(handler.headers["Host"].partition(":")[0], unquote(urlsplit(handler.path).path))
    del handler.send


def file(name: str) -> Callable[[Handler], None]:
    """A file of the folder for faults in the place of what was asked for."""
    return lambda handler: handler.file(handler.server.replica.site / "faults" / name)


def slow(handler: Handler) -> None:
    """A server that sends a few bytes a second, for two minutes at most."""
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Content-Length", "100000000")
    handler.end_headers()
    for _ in range(240):
        handler.wfile.write(b"x" * 50)
        handler.wfile.flush()
        time.sleep(0.5)
