"""Which nodes are meant: names, patterns and groups, as `exec --on`, `cp` and others take them."""

from __future__ import annotations

from fnmatch import fnmatchcase

from orchestrator.errors import SpecError
from orchestrator.model import NodePlan, Plan

_GROUPS = {"workers": "worker", "control_plane": "control_plane", "control-plane": "control_plane"}


def chosen(plan: Plan, pattern: str) -> tuple[NodePlan, ...]:
    """The plan's nodes that a pattern selects, in the plan's order.

    A pattern is a comma-separated list of node names, shell patterns (`w1*`) and the groups `all`, `workers` and
    `control_plane`. Raises SpecError with the names that exist when any part of it selects nothing.
    """
    found: set[str] = set()
    for part in (part.strip() for part in pattern.split(",")):
        here = {node.name for node in plan.nodes if _matches(node, part)}
        if not here:
            names = ", ".join(node.name for node in plan.nodes)
            raise SpecError(f"no node of {plan.name} matches {part!r}", fix=f"one of: all, workers, {names}")
        found |= here
    return tuple(node for node in plan.nodes if node.name in found)


def _matches(node: NodePlan, part: str) -> bool:
    return part == "all" or _GROUPS.get(part) == node.role or fnmatchcase(node.name, part)
