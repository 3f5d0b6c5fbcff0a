"""A plain web server for tests: somebody else's mirror or project page, on an address of this host."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """A directory on the web: its base URL, and the paths that were asked for."""

    directory: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    site: Site


class _Handler(SimpleHTTPRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        assert isinstance(self.server, _Server)
        # apt asks for what lies beside its index as /./
        self.server.site.asked.append(posixpath.normpath(self.path))

    def log_error(self, *_: object) -> None:
        """The client says what went wrong."""


@contextmanager
def serving(directory: Path, address: str = "127.0.0.1") -> Iterator[Site]:
    """Serve a directory on a free port of `address` for the length of the block."""
    server = _Server((address, 0), partial(_Handler, directory=str(directory)))
    server.site = Site(directory, f"http://{address}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
