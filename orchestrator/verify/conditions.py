"""Conditions of nodes and pods, and what those of all nodes say about the pod network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

NOT_INSTALLED = "no pod network is installed yet (kubernetes.cni: none)"
LEFT_OUT = "install your pod network on it"

# A kubelet that has more to report makes a list in brackets of it, and waits for more than a network.
_NOTHING_ELSE = re.compile(
    r"(container )?runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    r"message:[^\[\]]*(cni plugin not initialized|cni config uninitialized)"
)


def condition(thing: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A condition of a node or pod, empty when it does not have it."""
    conditions = thing.get("status", {}).get("conditions", [])
    return next((dict(one) for one in conditions if one["type"] == kind), {})


def ready(thing: Mapping[str, Any]) -> bool:
    """Whether a node or pod says that it is ready."""
    return bool(condition(thing, "Ready").get("status") == "True")


def awaits_network(node: Mapping[str, Any]) -> bool:
    """Whether a pod network is all that a node lacks; one whose kubelet is silent lacks more."""
    stated = condition(node, "Ready")
    return stated.get("status") == "False" and bool(_NOTHING_ELSE.fullmatch(stated.get("message", "")))


def none_installed(nodes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether no node has a pod network: none is Ready, and one at least lacks nothing else."""
    listed = list(nodes)
    return not any(map(ready, listed)) and any(map(awaits_network, listed))
