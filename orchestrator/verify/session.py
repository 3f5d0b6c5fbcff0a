"""One shell on a node, kept open for a whole run: commands and their output are framed by markers."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .. import proc

# Root's shell, started by the login shell of the node: checks read files that only root may read.
# The locale is fixed because checks read what programs print.
ROOT_SHELL = "exec sudo -n LC_ALL=C.UTF-8 /bin/sh"

_CHUNK = 1 << 16


class NodeError(Exception):
    """A command got no answer, for a reason that lies with the node or its connection, not with the check."""


class UnreachableError(NodeError):
    """No shell could be opened on the node."""


class CommandTimeoutError(NodeError):
    """A command did not end within its time limit."""


class SessionLostError(NodeError):
    """The connection broke while a command was running."""


@dataclass(frozen=True)
class CommandOutput:
    """Exit code, stdout and stderr of a command, the streams as bytes."""

    code: int
    stdout: bytes
    stderr: bytes


class Session:
    """A shell behind `argv` (an SSH command line with its remote command, or a local shell in tests).

    Every command runs in a subshell with its stdin closed; a random marker that no program can know ends
    its stdout (with the exit code) and its stderr. Raises UnreachableError when no shell answers within
    `limit` seconds.
    """

    def __init__(self, argv: Sequence[str], *, limit: float = 15) -> None:
        self._mark = f"labctl-{secrets.token_hex(16)}"
        self._count = 0
        self._out = bytearray()
        self._err = bytearray()
        self.group = ""
        try:
            self._process = proc.attach(argv)
        except OSError as error:
            raise UnreachableError(f"{argv[0]} cannot be started: {error.strerror or error}") from None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ, self._out)
        self._selector.register(self._process.stderr, selectors.EVENT_READ, self._err)
        try:
            # The shell's process group, so that a later session can end what a lost one left behind.
            hello = self.run("read -r _ _ _ _ group _ </proc/self/stat && echo $group", limit=limit)
        except CommandTimeoutError:
            self.close()
            raise UnreachableError(f"no shell answered within {limit:.0f} s") from None
        except SessionLostError as lost:
            self.close()
            raise UnreachableError(_explain(str(lost))) from None
        self.group = hello.stdout.decode(errors="replace").strip()

    def run(self, command: str, *, limit: float) -> CommandOutput:
        """Run one shell command; after a CommandTimeoutError or SessionLostError the session is of no more use."""
        self._count += 1
        mark = f"{self._mark}-{self._count}:"
        frame = f"( eval {shlex.quote(command)} ) </dev/null\nprintf '%s%d\\n' {mark} $?; printf '%s\\n' {mark} >&2\n"
        self._exchange(frame.encode(), mark.encode(), time.monotonic() + limit, limit)
        stdout, rest = bytes(self._out).split(mark.encode(), 1)
        stderr = bytes(self._err).split(mark.encode(), 1)[0]
        self._out.clear()
        self._err.clear()
        return CommandOutput(int(rest.split(b"\n", 1)[0]), stdout, stderr)

    def _exchange(self, frame: bytes, mark: bytes, deadline: float, limit: float) -> None:
        """Write the frame and read until both streams carry the mark to its end of line."""
        pending = memoryview(frame)
        self._selector.register(self._process.stdin, selectors.EVENT_WRITE, None)
        waiting = {id(self._out): self._out, id(self._err): self._err}
        while waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise CommandTimeoutError(f"no answer within {limit:.0f} s")
            for key, _ in self._selector.select(left):
                if key.data is None:
                    pending = self._write(pending)
                    if not pending:
                        self._selector.unregister(self._process.stdin)
                    continue
                searched = max(0, len(key.data) - len(mark) - 8)
                self._read(key.fd, key.data)
                at = key.data.find(mark, searched)
                if at >= 0 and key.data.find(b"\n", at) >= 0:
                    waiting.pop(id(key.data), None)

    def _write(self, pending: memoryview) -> memoryview:
        try:
            return pending[os.write(self._process.stdin, pending) :]
        except BlockingIOError:
            return pending
        except OSError:
            # A closed pipe: what the other side said last arrives on stderr and explains it better.
            return pending[:0]

    def _read(self, descriptor: int, buffer: bytearray) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if data:
            buffer += data
            return
        if descriptor == self._process.stdout:
            with contextlib.suppress(OSError):
                while more := os.read(self._process.stderr, _CHUNK):
                    self._err += more
            raise SessionLostError(self._last_error())
        self._selector.unregister(descriptor)

    def _last_error(self) -> str:
        lines = [line.strip() for line in self._err.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "the connection was closed without a message"

    def close(self, grace: float = 1.0) -> None:
        """End the session; what still runs in it on the node is ended by the next session, if there is one."""
        self._selector.close()
        self._process.end(grace)


def _explain(message: str) -> str:
    """The last line of ssh or sudo with the cause that it stands for; any other line as it is."""
    causes = {
        "Connection refused": "nothing listens on its SSH port: the machine is off or its SSH server is down",
        "Connection timed out": "its address does not answer",
        "No route to host": "there is no route to its address",
        "Permission denied": "it refuses the lab's SSH key",
        "Host key verification failed": "its host key is not the one in the lab's known_hosts",
        "a password is required": "sudo asks for a password there",
        "Connection reset": "its SSH server closed the connection at once",
        "Connection closed": "its SSH server closed the connection at once",
    }
    cause = next((text for sign, text in causes.items() if sign in message), "")
    return f"{cause} ({message})" if cause else message


class ReconnectingSession:
    """The session of one node: opened on first use, and again after a command that hangs.

    After a hanging command the session is closed and a new one kills what the old one left on the node; after three
    such losses every further command fails at once. `deadline` is the monotonic time at which nothing may run any
    more; `timeout_factor` multiplies every limit.
    """

    _LOSSES = 3

    def __init__(
        self,
        argv: Sequence[str],
        *,
        deadline: float = float("inf"),
        connect_limit: float = 15,
        timeout_factor: float = 1.0,
    ) -> None:
        self._argv = tuple(argv)
        self._deadline = deadline
        self._timeout_factor = timeout_factor
        self._connect_limit = connect_limit
        self._session: Session | None = None
        self._old_group = ""
        self._losses = 0
        self._last_loss = ""

    def open(self) -> None:
        """Open the session if there is none; raises UnreachableError."""
        if self._losses >= self._LOSSES:
            raise SessionLostError(f"the session was lost {self._losses} times, the last time by {self._last_loss}")
        if self._session is None:
            self._session = Session(self._argv, limit=self._within(self._connect_limit))
            if self._old_group and self._old_group != self._session.group:
                self._session.run(f"kill -9 -{self._old_group}", limit=self._within(5))
            self._old_group = ""

    def run(self, command: str, *, limit: float = 20) -> CommandOutput:
        """Run one command as root; raises a NodeError whose message a report can show."""
        self.open()
        assert self._session is not None
        try:
            return self._session.run(command, limit=self._within(limit))
        except (CommandTimeoutError, SessionLostError) as trouble:
            self._losses += 1
            self._last_loss = f"`{_short(command)}`: {trouble}"
            self._abandon()
            raise type(trouble)(self._last_loss) from None
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Give the session up in the middle of a command."""
        if self._session is not None:
            self._old_group = self._session.group
            self._session.close(grace=0.1)
            self._session = None

    def extend(self, seconds: float) -> None:
        """Move the deadline to `seconds` from now: cleaning up must be possible after the time has run out."""
        self._deadline = time.monotonic() + seconds
        self._losses = 0

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _within(self, limit: float) -> float:
        return max(0.1, min(limit * self._timeout_factor, self._deadline - time.monotonic()))


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 70 else line[:67] + "..."
