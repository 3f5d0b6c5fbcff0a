"""Which networks of this host a lab's subnet would collide with."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from orchestrator.errors import Problem
from orchestrator.host import HostNetwork
from orchestrator.model import Plan


def overlap_problems(plan: Plan, networks: Iterable[HostNetwork], *, own: str = "") -> list[Problem]:
    """Networks of this host that the lab's subnet overlaps, but for the one on the lab's `own` interface."""
    subnet = ipaddress.IPv4Network(plan.network.subnet)
    return [
        Problem(
            f"{subnet} overlaps {item.cidr}, which this host uses on {item.interface or 'a route'}",
            "network.subnet",
            "set network.subnet in lab.yml to a free range; a lab with auto keeps its own until it is destroyed",
        )
        for item in networks
        if item.interface != own and ipaddress.IPv4Network(item.cidr, strict=False).overlaps(subnet)
    ]
