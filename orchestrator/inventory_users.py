"""The part of the inventory for those who work on the nodes: how they log in, and the exercises they find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.model import Node, NodePlan, Plan


def between_nodes(present: Sequence[NodePlan], reported: Mapping[str, Node], key: Path) -> dict[str, Any]:
    """What lets root and the login user of one node reach the others: a key of the lab's own, host keys pinned."""
    keys = {node.name: list(reported[node.name].host_keys) for node in present}
    return {
        "node_base_ssh_users": sorted({"root", *(reported[node.name].ssh_user for node in present)}),
        "node_base_ssh_key_file": str(key),
        "node_base_ssh_nodes": [
            {"name": node.name, "address": node.address, "keys": keys[node.name]} for node in present
        ],
    }


def root_login(plan: Plan, private_key: Path, password: Path | None) -> dict[str, Any]:
    """What lets root in: the public half of the lab's key, and the file with the hash of root's password."""
    variables = {} if plan.root_login == "no" else {"node_base_root_key_file": f"{private_key}.pub"}
    return variables | ({"node_base_root_password_file": str(password)} if password else {})


def exercises(plan: Plan, user: str) -> dict[str, Any]:
    """What the control plane has for its users; chapter 2's needs no Kubernetes, the book's its profile."""
    variables: dict[str, Any] = {"lab_materials_users": ["root", user]}
    if plan.kubernetes is None:
        addresses = [node.address for node in plan.workers]
        return {**variables, "lab_materials_sets": ["ping"], "lab_materials_ping_addresses": addresses}
    return {**variables, "lab_materials_sets": ["labs", "book"]} if plan.profile == "book" else variables
