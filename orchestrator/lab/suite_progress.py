"""Progress of a conformance suite while it runs: the specs that ended, as the suite's processes report them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from orchestrator.events import Emit, Step

_ENDINGS = ("PASSED ", "FAILED ")


@dataclass
class SuiteProgress:
    """Counts the specs that end, of `total`, and emits a step for each."""

    emit: Emit
    phase: str
    total: int
    ended: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, message: str) -> None:
        """Take a message of the suite: `PASSED NAME` or `FAILED NAME`; others say nothing about a spec."""
        if not message.startswith(_ENDINGS):
            return
        with self.lock:
            self.ended += 1
            self.failed += message.startswith("FAILED ")
        self.emit(
            Step(
                phase=self.phase,
                name=f"{self.ended} of {self.total} specs, {self.failed} failed; {message}",
                status="running",
                remaining=self.remaining,
            )
        )

    @property
    def remaining(self) -> float:
        """Seconds to the end if the rest takes as long as what ended, on average."""
        return (time.monotonic() - self.began) / max(self.ended, 1) * max(self.total - self.ended, 0)


@contextmanager
def listening(progress: SuiteProgress) -> Iterator[str]:
    """The URL on 127.0.0.1 to which the suite reports for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()
            try:
                message = json.loads(body)["msg"]
            except (ValueError, KeyError, TypeError):
                return
            progress.report(str(message))

        def log_message(self, *args: object) -> None:
            """Write nothing: requests are no news."""

    # A thread for each: clients keep connections open on which they ask nothing.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
