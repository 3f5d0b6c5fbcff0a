"""The one connection to a new machine that knows no lab yet: lets the lab's key in, yields the host key to pin."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import ProviderError
from orchestrator.model import Node
from orchestrator.providers import ssh_access
from orchestrator.ssh_options import NO_USER_CONFIG, as_arguments, session_options

# Adds the lab's key once, and says which addresses the machine has.
_SCRIPT = (
    "umask 077; mkdir -p ~/.ssh; touch ~/.ssh/authorized_keys; "
    "grep -qxF {key} ~/.ssh/authorized_keys || printf '%s\\n' {key} >> ~/.ssh/authorized_keys; "
    "/sbin/ip -4 -o addr"
)


def introduce(
    node: Node, address: str, own_key: Path, lab_key: str, expected: Sequence[str], seconds: float
) -> tuple[str, ...]:
    """Let the lab's key into a machine; return its public host keys.

    `own_key` is the private key Vagrant made for the machine. `expected` are host keys that the hypervisor
    handed over; when there are none, the key of this one connection is taken, which goes over this host's
    loopback or its own bridge, right after the machine was made. Raises ProviderError after `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="labctl-") as directory:
        known = Path(directory) / "known_hosts"
        if expected:
            known.write_text(ssh_access.known_hosts([_with(node, expected)]), encoding="ascii")
        argv = _argv(node, own_key, known, strict=bool(expected), script=_SCRIPT.format(key=shlex.quote(lab_key)))
        deadline = time.monotonic() + seconds
        while not (result := proc.run(argv, check=False, timeout=60)).ok:
            if time.monotonic() > deadline:
                raise ProviderError(f"{node.name} does not answer on SSH: {result.tail}", fix="labctl provision")
            time.sleep(1)
        if f" {address}/" not in result.stdout:
            raise ProviderError(
                f"{node.name} has no interface with its lab address {address}", fix="labctl provision   (makes it anew)"
            )
        return tuple(expected) or keys_of(known.read_text(encoding="ascii"))


def keys_of(known_hosts: str) -> tuple[str, ...]:
    """The keys of a known_hosts text, without the places they belong to."""
    rows = (line.split() for line in known_hosts.splitlines() if line and not line.startswith("#"))
    return tuple(" ".join(row[1:3]) for row in rows if len(row) >= 3)


def _with(node: Node, keys: Sequence[str]) -> Node:
    return Node(node.name, node.state, node.ssh_host, node.ssh_port, node.ssh_user, tuple(keys))


def _argv(node: Node, key: Path, known: Path, *, strict: bool, script: str) -> list[str]:
    options = {
        **session_options(key, known),
        "StrictHostKeyChecking": "yes" if strict else "accept-new",
        "HashKnownHosts": "no",
    }
    return ["ssh", *NO_USER_CONFIG, *as_arguments(options), *ssh_access.destination(node), script]
