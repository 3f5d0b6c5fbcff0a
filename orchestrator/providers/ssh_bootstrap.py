"""The first connection to a machine that does not know the lab's key yet: installs it, yields the host key to pin."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import ProviderError
from orchestrator.model import Node
from orchestrator.providers import ssh_access
from orchestrator.ssh_options import NO_USER_CONFIG, as_arguments, session_options


def key_script(public_key: str) -> str:
    """The shell script that lets a public key in, once, as the user who runs it."""
    key = shlex.quote(public_key)
    return (
        "umask 077; mkdir -p ~/.ssh; touch ~/.ssh/authorized_keys; "
        f"grep -qxF {key} ~/.ssh/authorized_keys || printf '%s\\n' {key} >> ~/.ssh/authorized_keys; "
    )


def install_key(
    node: Node, address: str, own_key: Path, lab_key: str, expected: Sequence[str], seconds: float
) -> tuple[str, ...]:
    """Let the lab's key into a machine; return its public host keys.

    `own_key` is the private key Vagrant made for the machine. `expected` are host keys that the hypervisor
    handed over; when there are none, the key of this one connection is taken, which goes over this host's
    loopback or its own bridge, right after the machine was made. Raises ProviderError after `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="labctl-") as directory:
        known = Path(directory) / "known_hosts"
        changes = {"StrictHostKeyChecking": "yes" if expected else "accept-new", "HashKnownHosts": "no"}
        if expected:
            known.write_text(ssh_access.known_hosts([replace(node, host_keys=tuple(expected))]), encoding="ascii")
        options = as_arguments({**session_options(own_key, known), **changes})
        command = f"{key_script(lab_key)}/sbin/ip -4 -o addr"
        argv = ["ssh", *NO_USER_CONFIG, *options, *ssh_access.destination(node), command]
        deadline = time.monotonic() + seconds
        while not (result := proc.run(argv, check=False, timeout=60)).ok:
            if time.monotonic() > deadline:
                raise ProviderError(f"{node.name} does not answer on SSH: {result.tail}", fix="labctl provision")
            time.sleep(1)
        if f" {address}/" not in result.stdout:
            fix = "labctl provision   (recreates it)"
            raise ProviderError(f"{node.name} has no interface with its lab address {address}", fix=fix)
        return tuple(expected) or ssh_access.host_keys_in(known.read_text(encoding="ascii"))
