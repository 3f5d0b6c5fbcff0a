"""An API server that is not the lab's: it knows a bootstrap token, has its own CA, and wants a worker to join."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(content: str, token: str) -> str:
    """The detached signature over a cluster-info kubeconfig that whoever holds the token can make."""
    identity, secret = token.split(".")
    header = _b64(json.dumps({"alg": "HS256", "kid": identity}, separators=(",", ":")).encode())
    digest = hmac.new(secret.encode(), f"{header}.{_b64(content.encode())}".encode(), hashlib.sha256).digest()
    return f"{header}..{_b64(digest)}"


def cluster_info(server: str, ca: Path, token: str) -> dict[str, Any]:
    """The ConfigMap that a joining node asks for first."""
    data = base64.b64encode(ca.read_bytes()).decode()
    cluster = {"name": "", "cluster": {"certificate-authority-data": data, "server": server}}
    kubeconfig = json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [cluster]})
    identity = token.split(".", maxsplit=1)[0]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": kubeconfig, f"jws-kubeconfig-{identity}": signed(kubeconfig, token)},
    }


@contextmanager
def serving(
    address: str, ca: Path, certificate: Path, key: Path, token: str
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Be that server on a free port of this address; yields the port, the paths it was asked for, and who hung up."""
    asked: list[str] = []
    refused: list[str] = []

    class Server(ThreadingHTTPServer):
        def get_request(self) -> Any:
            try:
                return super().get_request()
            except ssl.SSLError as error:
                refused.append(str(error))
                raise

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(cluster_info(f"https://{address}:{port}", ca, token)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            """Say nothing."""

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = Server((address, 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    port = int(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield port, asked, refused
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
