"""Addresses and ports: the lab's subnet, each node's address and SSH port, the API server's port on this host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from orchestrator.model import NetworkPlan, NodePlan, StaticHost
from orchestrator.observed import ProviderTraits
from orchestrator.plan.diagnostics import Diagnostics
from orchestrator.spec import Lab
from orchestrator.spec.rules import AUTO_SUBNETS, offsets
from orchestrator.spec.values import STATIC_HOST

DEFAULT_API_PORT = 60443
# Where a default block of SSH ports moves when one of its ports is busy: above Linux's ephemeral range first.
MOVED_BASES = (61010, 62010, 63010, 64010, 65010, 50010, 51010, 52010, 53010, 54010, 40010, 41010, 42010, 30010)
HIGHEST_PORT = 65535


def network(traits: ProviderTraits, diagnostics: Diagnostics) -> NetworkPlan:
    """The lab's networks; a subnet that somebody else uses is refused."""
    lab = diagnostics.spec.lab
    subnet, reason = _subnet(traits, diagnostics)
    services = ipaddress.IPv4Network(lab.kubernetes.service_cidr)
    plan = NetworkPlan(
        subnet=str(subnet),
        gateway=lab.static.gateway or str(subnet[1]),
        pod_cidr=lab.kubernetes.pod_cidr,
        service_cidr=lab.kubernetes.service_cidr,
        dns_address=str(services[10]),
        dns_domain=lab.network.dns_domain,
        resolvers=lab.network.resolvers,
    )
    given = "this host, as the machines reach it"
    first = "the first address of the subnet is this host"
    automatic = "" if plan.resolvers else "none are set: the machines keep those their provider gives them"
    diagnostics.decide("network.subnet", plan.subnet, reason)
    diagnostics.decide("network.gateway", plan.gateway, given if lab.static.gateway else first)
    diagnostics.decide("network.resolvers", plan.resolvers, automatic)
    if lab.kubernetes.enabled:
        tenth = "kubeadm takes the tenth address of service_cidr"
        diagnostics.decide("kubernetes.pod_cidr", plan.pod_cidr)
        diagnostics.decide("kubernetes.service_cidr", plan.service_cidr)
        diagnostics.decide("network.dns_address", plan.dns_address, tenth)
        diagnostics.decide("network.dns_domain", plan.dns_domain)
    return plan


def _subnet(traits: ProviderTraits, diagnostics: Diagnostics) -> tuple[ipaddress.IPv4Network, str]:
    """The subnet and why; a default that somebody else uses moves to the next free one, as `auto` does."""
    lab, field = diagnostics.spec.lab, "network.subnet"
    plan = diagnostics.observed.existing
    existing = plan.network.subnet if plan else None
    taken = [
        (ipaddress.IPv4Network(one.cidr, strict=False), one.by)
        for one in diagnostics.observed.networks
        if not (traits.adapters and one.interface.startswith(traits.adapters))
    ]
    default = diagnostics.spec.is_default(field)
    reason = "auto"
    if existing and (default or lab.network.subnet == "auto"):
        return ipaddress.IPv4Network(existing), "auto: the lab has it already"
    if lab.network.subnet != "auto":
        subnet = ipaddress.IPv4Network(lab.network.subnet)
        # Machines that lab.yml lists may well be on a network of this host.
        shared = lab.listed is not None or lab.network.subnet == existing
        overlaps = [(other, by) for other, by in taken if subnet.overlaps(other) and not shared]
        if not overlaps:
            return subnet, ""
        other, by = overlaps[0]
        if not default:
            diagnostics.lack(f"{subnet} overlaps {other}, used by {by}", "network.subnet: auto", field)
            return subnet, ""
        reason = f"moved from {subnet}, used by {by}"
    pool = ipaddress.IPv4Network(AUTO_SUBNETS)
    avoided = [other for other, _ in taken]
    avoided += map(ipaddress.IPv4Network, (lab.kubernetes.pod_cidr, lab.kubernetes.service_cidr))
    for candidate in pool.subnets(new_prefix=24):
        if not any(candidate.overlaps(other) for other in avoided):
            return candidate, f"{reason}: the first /24 of {pool} that nobody uses"
    diagnostics.lack(f"no /24 of {pool} is free", "destroy a lab, or name a free network under network.subnet", field)
    return next(pool.subnets(new_prefix=24)), ""


def nodes(subnet: str, diagnostics: Diagnostics) -> tuple[NodePlan, ...]:
    """Every machine, control plane first, with address, size and SSH port."""
    lab = diagnostics.spec.lab
    base = ipaddress.IPv4Network(subnet).network_address
    places = offsets(lab)
    listed = dict(zip(places, static_hosts(lab), strict=False))
    ports = {name: host.port for name, host in listed.items()} or _ssh_ports(places, diagnostics)
    plans: list[NodePlan] = []
    for name, offset in places.items():
        size = lab.workers if plans else lab.control_plane
        plans.append(
            NodePlan(
                name=name,
                role="worker" if plans else "control_plane",
                address=listed[name].address if name in listed else str(base + offset),
                cpus=size.cpus,
                memory=size.memory,
                ssh_port=ports[name],
                display_name=name + lab.names.suffix,
            )
        )
    return tuple(plans)


def static_hosts(lab: Lab) -> tuple[StaticHost, ...]:
    """The machines that lab.yml lists; none for a provider that makes them."""
    matches = (STATIC_HOST.fullmatch(host) for host in (lab.listed.hosts if lab.listed else ()))
    return tuple(
        StaticHost(match["user"], match["address"], int(match["port"] or 22), match["fingerprint"])
        for match in matches
        if match
    )


def _ssh_ports(places: Mapping[str, int], diagnostics: Diagnostics) -> dict[str, int]:
    spec, observed = diagnostics.spec, diagnostics.observed
    busy = {port.port: port.by or "another program" for port in observed.busy_ports}
    field, base = "network.ssh_port_base", spec.lab.network.ssh_port_base

    def decide(ports: dict[str, int], reason: str) -> dict[str, int]:
        diagnostics.decide("network.ssh_ports", _shown(ports.values()), reason)
        return ports

    usual = _block(places, base)
    held = {name: port for name, port in usual.items() if port in busy}
    if spec.is_explicit(field):
        fix = "end that program, or leave network.ssh_port_base out: a default moves to free ports"
        for name, port in held.items():
            diagnostics.lack(f"port {port}, SSH of {name}, is held by {busy[port]}", fix, field)
        return decide(usual, spec.why(field))
    if observed.existing:
        kept = {node.name: node.ssh_port for node in observed.existing.nodes}
        return decide(_fill(places, kept, usual, set(busy)), "the lab has them already")
    if not held:
        return decide(usual, "ssh_port_base + last octet - 10")
    first = next(iter(held.values()))
    for moved in (_block(places, candidate) for candidate in MOVED_BASES):
        if max(moved.values()) <= HIGHEST_PORT and not busy.keys() & moved.values():
            return decide(moved, f"moved from {base}: {first} is held by {busy[first]}")
    what = f"port {first} is held by {busy[first]} and no other block of ports is free"
    diagnostics.lack(what, "end that program, or set network.ssh_port_base", field)
    return usual


def _block(places: Mapping[str, int], base: int) -> dict[str, int]:
    return {name: base + offset - 10 for name, offset in places.items()}


def _shown(ports: Iterable[int]) -> str:
    listed = list(ports)
    return ", ".join(map(str, listed)) if len(listed) < 6 else f"{min(listed)} .. {max(listed)}"


def _fill(
    places: Mapping[str, int], kept: Mapping[str, int], usual: Mapping[str, int], busy: set[int]
) -> dict[str, int]:
    """Kept ports for nodes that have one; the usual one, or the next free one, for nodes that are new."""
    ports: dict[str, int] = {name: port for name, port in kept.items() if name in places}
    # The offset between the kept block and the usual one, for labs whose block has moved.
    shift = next((kept[name] - usual[name] for name in kept if name in usual), 0)
    for name in places:
        if name in ports:
            continue
        port = usual[name] + shift
        while port in busy or port in ports.values():
            port = port + 1 if port < HIGHEST_PORT else 50010
        ports[name] = port
    return {name: ports[name] for name in places}


def api_port(ssh_ports: set[int], diagnostics: Diagnostics) -> int:
    """The port on 127.0.0.1 that leads to the API server; `ssh_ports` are the lab's own."""
    field, observed = "kubernetes.api_port", diagnostics.observed
    busy = {port.port: port.by or "another program" for port in observed.busy_ports}
    port = diagnostics.spec.lab.kubernetes.api_port
    reason = ""
    if port is not None:
        if port in busy:
            fix = "end that program, or leave kubernetes.api_port out: a default moves to a free port"
            diagnostics.lack(f"port {port} is held by {busy[port]}", fix, field)
    elif observed.existing and observed.existing.kubernetes:
        port, reason = observed.existing.kubernetes.api_port, "the lab has it already"
    else:
        port = DEFAULT_API_PORT
        while port in busy or port in ssh_ports:
            port += 1
        moved = f"moved from {DEFAULT_API_PORT}, which is busy"
        reason = moved if port != DEFAULT_API_PORT else "default"
    diagnostics.decide(field, port, reason)
    return port
