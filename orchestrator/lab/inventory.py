"""The lab's Ansible inventory: the saved plan and the nodes as the provider reports them now."""

from __future__ import annotations

from typing import Any

from orchestrator import inventory, paths
from orchestrator.errors import SpecError
from orchestrator.lab.attached import inventory_variables
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.state import load_source_access


def inventory_document(observed: ObservedLab) -> dict[str, Any]:
    """The inventory of the running nodes, as `labctl inventory --list` prints it."""
    plan, directory = observed.lab.plan, observed.lab.directory
    document = inventory.build(
        plan,
        observed.running,
        observed.capabilities,
        load_source_access(directory),
        private_key=directory.private_key,
        known_hosts=directory.known_hosts,
        control_dir=paths.runtime_dir() / plan.uuid[:8],
        node_key=directory.node_key if directory.node_key.exists() else None,
        root_password=directory.root_password if directory.root_password.exists() else None,
    )
    document["cluster"]["vars"] |= inventory_variables(directory)
    return document


def host_variables(document: dict[str, Any], name: str) -> dict[str, Any]:
    """All variables of one node. Raises SpecError with the names of the running nodes."""
    known = document["_meta"]["hostvars"]
    if name not in known:
        raise SpecError(
            f"no running node is called {name}", fix=f"one of: {', '.join(known) or 'none runs: labctl provision'}"
        )
    return inventory.variables_of(document, name)
