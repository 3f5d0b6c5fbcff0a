"""Reaching a lab's nodes: its provider, the nodes as they are now, a shell on one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator import proc
from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, discard
from orchestrator.lab.state import Lab
from orchestrator.model import Node, ProviderName
from orchestrator.providers import registry, ssh_access
from orchestrator.providers.base import Provider


@contextmanager
def open_provider(name: ProviderName, emit: Emit = discard) -> Iterator[Provider]:
    """The provider of this name, let go of at the end of the block."""
    provider = registry.provider(name)
    try:
        yield provider
    finally:
        provider.close(emit, "close")


def reported_nodes(lab: Lab) -> tuple[Node, ...]:
    """The lab's nodes as its provider reports them now."""
    with open_provider(lab.plan.provider) as provider:
        return tuple(provider.nodes(lab.plan))


def running_node(lab: Lab, name: str) -> Node:
    """The node of this name, running. Raises SpecError with the names that exist, ProviderError when it is down."""
    names = [node.name for node in lab.plan.nodes]
    if name not in names:
        raise SpecError(f"the lab {lab.plan.name} has no node {name}", fix=f"one of: {', '.join(names)}")
    node = next((node for node in reported_nodes(lab) if node.name == name), Node(name, "missing"))
    if node.state != "running":
        raise ProviderError(
            f"{name} is {node.state}{f': {node.detail}' if node.detail else ''}", fix="labctl provision"
        )
    return node


def exec_ssh(lab: Lab, name: str, command: Sequence[str]) -> None:
    """Replace this process by ssh to the node: the terminal and the exit code are ssh's own."""
    proc.replace(ssh_access.ssh_argv(lab.directory, running_node(lab, name), command=tuple(command)))
