"""A lab together with what its provider reports: a verb asks once and hands the answer on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.errors import ProviderError
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import Lab
from orchestrator.model import Capabilities, Node
from orchestrator.providers import ssh_access
from orchestrator.providers.base import Provider


@dataclass(frozen=True)
class ObservedLab:
    """A lab, its nodes as the provider reported them, and the capabilities of its machines."""

    lab: Lab
    nodes: tuple[Node, ...]
    capabilities: Capabilities

    @property
    def running(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.state == "running")

    def node(self, name: str) -> Node:
        """The node of this name; `missing` when the provider reports none."""
        return next((node for node in self.nodes if node.name == name), Node(name, "missing"))


def observe_lab(lab: Lab) -> ObservedLab:
    """The lab as its provider reports it now."""
    with open_provider(lab.plan.provider) as provider:
        return observe_with(provider, lab)


def observe_with(provider: Provider, lab: Lab, nodes: Iterable[Node] | None = None) -> ObservedLab:
    """The lab as an open provider reports it; `nodes` are those that it has just returned."""
    reported = tuple(provider.nodes(lab.plan) if nodes is None else nodes)
    observed = ObservedLab(lab, reported, provider.capabilities(lab.plan))
    if observed.running and not lab.directory.known_hosts.exists():
        ssh_access.write_known_hosts(lab.directory, observed.running)
    return observed


def require_running(nodes: Iterable[Node], purpose: str, fix: str = "labctl start") -> None:
    """Raise ProviderError, which says what the machines are needed for, naming every node that does not run."""
    if down := [f"{node.name} is {node.state}" for node in nodes if node.state != "running"]:
        raise ProviderError(f"{purpose}: {', '.join(down)}", fix=fix)
