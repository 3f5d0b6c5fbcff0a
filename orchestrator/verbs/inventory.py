"""`labctl inventory`: the lab's Ansible inventory, as inventory/lab.py prints it."""

from __future__ import annotations

from typing import Any

from orchestrator.lab.inventory import host_variables, inventory_document
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.state import Lab


def inventory(lab: Lab, node: str | None = None) -> dict[str, Any]:
    """The whole inventory document, or the variables of one node. Raises SpecError for a node that does not run."""
    document = inventory_document(observe_lab(lab))
    return document if node is None else host_variables(document, node)
