"""`labctl export ssh-config`: the nodes for OpenSSH's own programs."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.providers.ssh_access import ssh_config


@dataclass(frozen=True)
class SshConfig(Result):
    """The text of an ssh_config and the hosts in it."""

    hosts: tuple[str, ...]
    config: str
    schema = "labctl/ssh-config/v1"


def export_ssh_config(lab: Lab) -> SshConfig:
    """The ssh_config of the nodes as the provider reports them."""
    nodes = reported_nodes(lab)
    return SshConfig(tuple(node.name for node in lab.plan.nodes), ssh_config(lab.directory, nodes))
