"""The one list of SSH options: ssh, scp, an exported ssh_config and Ansible's arguments are derived from it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from orchestrator.model import Node

# The user's own configuration is kept out of a lab.
NO_USER_CONFIG = ("-F", "/dev/null")


def login_options(key: PurePath | None, known_hosts: PurePath) -> dict[str, str]:
    """The options that decide who logs in where: only this key, only the host keys in this file, no agent."""
    own_key = {"IdentityFile": str(key), "IdentitiesOnly": "yes", "IdentityAgent": "none"} if key else {}
    return {
        **own_key,
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "PasswordAuthentication": "no",
    }


def session_options(key: PurePath | None, known_hosts: PurePath) -> dict[str, str]:
    """The login options, and limits after which a dead connection ends."""
    return {
        **login_options(key, known_hosts),
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "LogLevel": "ERROR",
    }


def as_arguments(options: Mapping[str, str]) -> list[str]:
    """The options as arguments of ssh and scp."""
    return [word for name, value in options.items() for word in ("-o", f"{name}={_quoted(value)}")]


def as_config(options: Mapping[str, str], nodes: Iterable[Node]) -> list[str]:
    """The options as blocks of an ssh_config, one Host per node."""
    blocks = []
    for node in nodes:
        place = {"HostName": node.ssh_host, "Port": str(node.ssh_port), "User": node.ssh_user}
        lines = [f"    {name} {_quoted(value)}" for name, value in {**place, **options}.items()]
        blocks.append("\n".join([f"Host {node.name}", *lines]))
    return blocks


def _quoted(value: str) -> str:
    """A value with a blank would be read as two."""
    return f'"{value}"' if " " in value else value


def for_ansible(key: PurePath, known_hosts: PurePath) -> str:
    """The login options as `ansible_ssh_common_args`; Ansible adds the limits of its own configuration."""
    return shlex.join([*NO_USER_CONFIG, *as_arguments(login_options(key, known_hosts))])
