"""A testinfra backend that runs testinfra's own, unmodified commands through the one session of a node."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import testinfra.host
from testinfra.backend import base

from .session import ROOT_SHELL, Link


class LinkBackend(base.BaseBackend):  # type: ignore[misc]  # testinfra ships no type marker
    """testinfra's connection type `labssh`: a `Link` to one node, root's shell at its other end."""

    NAME = "labssh"

    def __init__(self, name: str, link: Link) -> None:
        super().__init__(name)
        self.link = link
        # Known beforehand, since the session sets the locale: saves the question testinfra asks each node.
        self._encoding = "UTF-8"

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        """Run a command; `limit=` gives it a time limit in seconds other than 20."""
        text = self.get_command(command, *args)
        answer = self.link.run(text, limit=float(kwargs.get("limit", 20)))
        return self.result(answer.code, self.encode(text), answer.stdout, answer.stderr)

    def decode(self, data: bytes) -> str:
        """Decode output; a stray byte in a file of the node must not break the check that reads it."""
        return data.decode("utf-8", errors="replace")

    def encode(self, data: str) -> bytes:
        return data.encode("utf-8", errors="surrogateescape")


def multiplexed(name: str, link: Link) -> testinfra.host.Host:
    """A testinfra Host over the node's one session."""
    backend = LinkBackend(name, link)
    host = testinfra.host.Host(backend)
    backend.set_host(host)
    return host


def direct(name: str, ssh_argv: Sequence[str]) -> testinfra.host.Host:
    """A testinfra Host over testinfra's stock SSH backend, one SSH connection per command.

    `ssh_argv` is the same command line that the session uses: `ssh`, options, destination.
    """
    backend = _stock_ssh(ssh_argv)
    host = testinfra.host.Host(backend)
    backend.set_host(host)
    return host


def _stock_ssh(ssh_argv: Sequence[str]) -> base.BaseBackend:
    """testinfra's stock SSH backend for this command line, with sudo."""
    from testinfra.backend.ssh import SshBackend

    return SshBackend(ssh_argv[-1], ssh_extra_args=shlex.join(ssh_argv[1:-1]), controlpersist=0, sudo=True)


def session_argv(ssh_argv: Sequence[str]) -> tuple[str, ...]:
    """The command line of a node's session: the caller's SSH command line with root's shell behind it."""
    return (*ssh_argv, ROOT_SHELL)
