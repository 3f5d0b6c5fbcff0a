"""A small HTTP proxy that answers everything itself, TLS included, and notes what it was asked: nothing leaves."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Binds to an address that comes only later: the gateway is there once the lab's network is.
_IP_FREEBIND = 15


@dataclass
class Asked:
    """Requests as `METHOD URL`, those inside a TLS tunnel with https://, and the credentials that came with them.

    `show` has the proxy show another certificate, with its key, from now on.
    """

    show: Callable[[Path, Path], None]
    lines: list[str] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)

    def about(self, host: str) -> list[str]:
        return [line for line in self.lines if host in line]


class _Handler(BaseHTTPRequestHandler):
    asked: Asked
    tls: ssl.SSLContext
    timeout = 20

    def do_GET(self) -> None:
        self._note(f"{self.command} {self.path}")
        self._answer(self.wfile.write)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        self._note(f"CONNECT {self.path}")
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.suppress(OSError), self.tls.wrap_socket(self.connection, server_side=True) as inner:
            line = inner.recv(4096).decode(errors="replace").splitlines()[0]
            method, path = line.split()[:2]
            self._note(f"{method} https://{self.path.partition(':')[0]}{path}")
            self._answer(inner.sendall)
        self.close_connection = True

    def _answer(self, send: Any) -> None:
        send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\nproxy\n")
        self.close_connection = True

    def _note(self, line: str) -> None:
        self.asked.lines.append(line)
        self.asked.credentials.add(self.headers.get("Proxy-Authorization", ""))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


@contextmanager
def serving(address: str, port: int, certificate: Path, key: Path) -> Iterator[Asked]:
    """Be the proxy at this address for the length of the block; `certificate` is shown to whoever asks for TLS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    asked = Asked(tls.load_cert_chain)
    handler = type("Handler", (_Handler,), {"asked": asked, "tls": tls})
    server = _Server((address, port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
