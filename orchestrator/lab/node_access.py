"""Access to a lab's nodes: its provider, and the nodes as the provider reports them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, discard
from orchestrator.lab.node_selection import select_nodes
from orchestrator.lab.state import Lab
from orchestrator.model import Node, ProviderName
from orchestrator.providers import registry
from orchestrator.providers.base import Provider


@contextmanager
def open_provider(name: ProviderName, emit: Emit = discard) -> Iterator[Provider]:
    """The provider of this name, closed at the end of the block."""
    provider = registry.provider(name)
    try:
        yield provider
    finally:
        provider.close(emit, "close")


def reported_nodes(lab: Lab) -> tuple[Node, ...]:
    """The lab's nodes as its provider reports them now, with the user that people are there."""
    with open_provider(lab.plan.provider) as provider:
        nodes = tuple(provider.nodes(lab.plan))
    # Before the roles have begun, no node lets root in.
    is_root = lab.plan.root_login != "no" and lab.directory.source_access.exists()
    return tuple(replace(node, ssh_user="root") for node in nodes) if is_root else nodes


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


def running_nodes(lab: Lab, pattern: str) -> tuple[Node, ...]:
    """The nodes that a pattern selects, in the plan's order.

    Raises SpecError for a pattern that selects nothing, ProviderError when one of them does not run.
    """
    names = [node.name for node in select_nodes(lab.plan, pattern)]
    reported = {node.name: node for node in reported_nodes(lab)}
    nodes = tuple(reported.get(name, Node(name, "missing")) for name in names)
    if down := [f"{node.name} is {node.state}" for node in nodes if node.state != "running"]:
        raise ProviderError(", ".join(down), fix="labctl start")
    return nodes
