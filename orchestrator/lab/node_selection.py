"""The nodes that a pattern selects, as `--on` and `cp` take it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from orchestrator.errors import SpecError
from orchestrator.model import NodePlan, Plan

_GROUPS = {"workers": "worker", "control_plane": "control_plane", "control-plane": "control_plane"}


def select_nodes(plan: Plan, pattern: str) -> tuple[NodePlan, ...]:
    """The plan's nodes that a pattern selects, in the plan's order.

    A pattern is a comma-separated list of node names, shell patterns (`w1*`) and the groups `all`, `workers` and
    `control_plane`. Raises SpecError with the existing names when a part of it selects nothing.
    """
    selected: set[str] = set()
    for part in (part.strip() for part in pattern.split(",")):
        names = {node.name for node in plan.nodes if _matches(node, part)}
        if not names:
            existing = ", ".join(node.name for node in plan.nodes)
            raise SpecError(f"no node of {plan.name} matches {part!r}", fix=f"one of: all, workers, {existing}")
        selected |= names
    return tuple(node for node in plan.nodes if node.name in selected)


def _matches(node: NodePlan, part: str) -> bool:
    return part == "all" or _GROUPS.get(part) == node.role or fnmatchcase(node.name, part)
