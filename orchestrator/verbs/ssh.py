"""`labctl ssh`: a shell on a node, or one command there."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import proc
from orchestrator.lab.node_access import running_node
from orchestrator.lab.state import Lab
from orchestrator.providers.ssh_access import ssh_argv


def exec_ssh(lab: Lab, name: str, command: Sequence[str]) -> None:
    """Replace this process by ssh to the node, which gives the terminal and the exit code."""
    proc.replace(ssh_argv(lab.directory, running_node(lab, name), command=command))
