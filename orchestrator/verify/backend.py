"""Testinfra hosts over a node's one session, or over testinfra's stock SSH backend."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import testinfra.host
from testinfra.backend import base

from .session import ROOT_SHELL, ReconnectingSession


class SessionBackend(base.BaseBackend):  # type: ignore[misc]  # testinfra ships no type marker
    """testinfra's connection type `labssh`: runs testinfra's own, unmodified commands through a session."""

    NAME = "labssh"

    def __init__(self, name: str, session: ReconnectingSession) -> None:
        super().__init__(name)
        self.session = session
        # Known beforehand, since the session sets the locale: saves the question testinfra asks each node.
        self._encoding = "UTF-8"

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        """Run a command; `limit=` gives it a time limit in seconds other than 20."""
        text = self.get_command(command, *args)
        output = self.session.run(text, limit=float(kwargs.get("limit", 20)))
        return self.result(output.code, self.encode(text), output.stdout, output.stderr)

    def decode(self, data: bytes) -> str:
        """Decode output; a stray byte in a file of the node must not break the check that reads it."""
        return data.decode("utf-8", errors="replace")

    def encode(self, data: str) -> bytes:
        return data.encode("utf-8", errors="surrogateescape")


def session_host(name: str, session: ReconnectingSession) -> testinfra.host.Host:
    """A testinfra Host over the node's one session."""
    return _host_over(SessionBackend(name, session))


def direct_host(ssh_argv: Sequence[str]) -> testinfra.host.Host:
    """A testinfra Host over testinfra's stock SSH backend with sudo, one SSH connection per command.

    `ssh_argv` is the command line that the session uses too: `ssh`, options, destination.
    """
    from testinfra.backend.ssh import SshBackend

    options = shlex.join(ssh_argv[1:-1])
    return _host_over(SshBackend(ssh_argv[-1], ssh_extra_args=options, controlpersist=0, sudo=True))


def _host_over(backend: base.BaseBackend) -> testinfra.host.Host:
    host = testinfra.host.Host(backend)
    backend.set_host(host)
    return host


def session_argv(ssh_argv: Sequence[str]) -> tuple[str, ...]:
    """The command line of a node's session: the caller's SSH command line with root's shell behind it."""
    return (*ssh_argv, ROOT_SHELL)
