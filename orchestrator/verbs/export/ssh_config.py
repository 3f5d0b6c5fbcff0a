"""`labctl export ssh-config`: the nodes for OpenSSH's own programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab import windows
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.windows import WindowsFolder
from orchestrator.providers.ssh_access import ssh_config, windows_ssh_config


@dataclass(frozen=True)
class SshConfig(Result):
    """The text of an ssh_config and the hosts in it."""

    hosts: tuple[str, ...]
    config: str
    schema = "labctl/ssh-config/v1"


@dataclass(frozen=True)
class WindowsSshConfig(Result):
    """The files written for Windows' OpenSSH, and what is left to do there."""

    hosts: tuple[str, ...]
    config: Path
    key: Path
    known_hosts: Path
    steps: tuple[str, ...]
    schema = "labctl/ssh-config-windows/v1"


def export_ssh_config(lab: Lab) -> SshConfig:
    """The ssh_config of the nodes as the provider reports them."""
    nodes = reported_nodes(lab)
    return SshConfig(tuple(node.name for node in lab.plan.nodes), ssh_config(lab.directory, nodes))


def windows_files(lab: Lab, folder: WindowsFolder) -> WindowsSshConfig:
    """The files that an export for Windows writes, and what it prints."""
    hosts = tuple(node.name for node in lab.plan.nodes)
    config, key, known_hosts = (folder.here / name for name in ("ssh_config", "id_ed25519", "known_hosts"))
    steps = folder.steps(
        windows.KEEP_TO_YOURSELF.format(folder.there / key.name), f'ssh -F "{folder.there / config.name}" {hosts[0]}'
    )
    return WindowsSshConfig(hosts, config, key, known_hosts, tuple(steps))


def export_for_windows(lab: Lab, folder: WindowsFolder) -> WindowsSshConfig:
    """Write an ssh_config with the lab's key and host keys beside it. Raises HostError when it cannot be written."""
    files, nodes = windows_files(lab, folder), reported_nodes(lab)
    windows.write_text(files.config, windows_ssh_config(lab.plan.name, nodes, folder.there))
    # OpenSSH reads no key whose lines end as Windows' do.
    windows.write_text(files.key, lab.directory.private_key.read_text(encoding="ascii"), newline="\n")
    windows.write_text(files.known_hosts, lab.directory.known_hosts.read_text(encoding="utf-8"))
    return files
