"""The lab's Ansible inventory: the saved plan and the nodes as the provider reports them now."""

from __future__ import annotations

from typing import Any

from orchestrator import inventory, paths
from orchestrator.errors import SpecError
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import Lab, load_source_access
from orchestrator.model import Capabilities
from orchestrator.providers import ssh_access


def inventory_of(lab: Lab) -> dict[str, Any]:
    """The inventory document; nodes that run have their host keys pinned first."""
    return seen(lab)[0]


def seen(lab: Lab) -> tuple[dict[str, Any], Capabilities]:
    """The inventory document, and what the provider says of its machines."""
    with open_provider(lab.plan.provider) as provider:
        nodes = [node for node in provider.nodes(lab.plan) if node.state == "running"]
        capabilities = provider.capabilities(lab.plan)
    if nodes and not lab.directory.known_hosts.exists():
        ssh_access.write_known_hosts(lab.directory, nodes)
    document = inventory.build(
        lab.plan,
        nodes,
        capabilities,
        load_source_access(lab.directory),
        private_key=lab.directory.private_key,
        known_hosts=lab.directory.known_hosts,
        control_dir=paths.runtime_dir() / lab.plan.uuid[:8],
        node_key=lab.directory.node_key if lab.directory.node_key.exists() else None,
    )
    return document, capabilities


def host_variables(document: dict[str, Any], name: str) -> dict[str, Any]:
    """All variables of one node. Raises SpecError with the names that exist."""
    known = document["_meta"]["hostvars"]
    if name not in known:
        raise SpecError(
            f"no running node is called {name}", fix=f"one of: {', '.join(known) or 'none runs: labctl provision'}"
        )
    return inventory.variables_of(document, name)
