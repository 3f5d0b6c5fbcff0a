"""What of this host a lab's subnet and port forwards would collide with."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from orchestrator.errors import Problem
from orchestrator.host import HostNetwork
from orchestrator.model import Plan
from orchestrator.providers.base import LabIdentity


def overlap_problems(plan: Plan, networks: Iterable[HostNetwork], *, own: str = "") -> list[Problem]:
    """Networks of this host that the lab's subnet overlaps, but for the one on the lab's `own` interface."""
    subnet = ipaddress.IPv4Network(plan.network.subnet)
    fix = "set network.subnet in lab.yml to a free range; a lab with auto keeps its own until it is destroyed"
    return [
        Problem(
            f"{subnet} overlaps {item.cidr}, which this host uses on {item.interface or 'a route'}",
            "network.subnet",
            fix,
        )
        for item in networks
        if item.interface != own and ipaddress.IPv4Network(item.cidr, strict=False).overlaps(subnet)
    ]


def folder_problems(plan: Plan) -> list[Problem]:
    """Folders of this host that the plan mounts and that are gone: no machine would start without them."""
    return [
        Problem(f"{mount.host}, which is {mount.target} in nodes, is not there", "mounts", f"mkdir -p {mount.host}")
        for mount in plan.mounts
        if not Path(mount.host).is_dir()
    ]


def port_problems(
    plan: Plan,
    own: Collection[int],
    is_free: Callable[[int, str], bool],
    holders: Mapping[int, LabIdentity] | None = None,
) -> list[Problem]:
    """Forwards of the plan that somebody else holds on their address; `holders` are the labs known to have a port."""
    local = "127.0.0.1"
    forwards = [(node.ssh_port, f"SSH of {node.name}", "network.ssh_port_base", local) for node in plan.nodes]
    if plan.kubernetes:
        forwards.append((plan.kubernetes.api_port, "the API server", "kubernetes.api_port", local))
    forwards += [(one.host_port, f"port {one.port} of {one.node}", "ports", one.address) for one in plan.forwards]
    problems = []
    for port, target, where, address in forwards:
        if address != local and not is_free(0, address):
            fix = "write 127.0.0.1, 0.0.0.0, or one that `ip -4 addr` shows"
            problems.append(Problem(f"{address} is no address of this host", where, fix))
            continue
        if port in own or is_free(port, address):
            continue
        text = f"port {port} on {address}, the forward to {target}, is in use"
        fix = f"ss -ltnp 'sport = :{port}' names the program; or choose other ports in lab.yml"
        if lab := (holders or {}).get(port):
            text = f"{text} by lab {lab.name} of {lab.owner}"
            fix = f"choose other ports in lab.yml, or remove that lab: labctl destroy --id {lab.uuid}"
        problems.append(Problem(text, where, fix))
    return problems
