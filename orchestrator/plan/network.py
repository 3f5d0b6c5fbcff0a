"""Addresses and ports: the lab's subnet, each node's address and SSH port, the API server's port on this host."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from orchestrator.model import NetworkPlan, NodePlan, Observed, StaticHost
from orchestrator.plan.ledger import Ledger
from orchestrator.spec import Lab
from orchestrator.spec.rules import AUTO_SUBNETS, offsets
from orchestrator.spec.schema import STATIC_HOST

DEFAULT_API_PORT = 60443
# Where a default block of SSH ports moves when one of its ports is busy: above Linux's ephemeral range first.
MOVED_BASES = (61010, 62010, 63010, 64010, 65010, 50010, 51010, 52010, 53010, 54010, 40010, 41010, 42010, 30010)
HIGHEST_PORT = 65535


def network(lab: Lab, observed: Observed, ledger: Ledger) -> NetworkPlan:
    """The lab's networks; a subnet that somebody else uses is refused."""
    subnet, reason = _subnet(lab, observed, ledger)
    services = ipaddress.IPv4Network(lab.kubernetes.service_cidr)
    planned = NetworkPlan(
        subnet=str(subnet),
        gateway=lab.static.gateway or str(subnet[1]),
        pod_cidr=lab.kubernetes.pod_cidr,
        service_cidr=lab.kubernetes.service_cidr,
        dns_address=str(services[10]),
        dns_domain=lab.network.dns_domain,
        resolvers=lab.network.resolvers,
    )
    ledger.decide("network.subnet", planned.subnet, reason)
    ledger.decide(
        "network.gateway",
        planned.gateway,
        "this host, as the machines reach it" if lab.static.gateway else "the first address of the subnet is this host",
    )
    automatic = "" if planned.resolvers else "none are set: the machines keep those their provider gives them"
    ledger.decide("network.resolvers", planned.resolvers, automatic)
    if lab.kubernetes.enabled:
        ledger.decide("kubernetes.pod_cidr", planned.pod_cidr)
        ledger.decide("kubernetes.service_cidr", planned.service_cidr)
        ledger.decide("network.dns_address", planned.dns_address, "kubeadm takes the tenth address of service_cidr")
        ledger.decide("network.dns_domain", planned.dns_domain)
    return planned


def _subnet(lab: Lab, observed: Observed, ledger: Ledger) -> tuple[ipaddress.IPv4Network, str]:
    taken = [(ipaddress.IPv4Network(network.cidr, strict=False), network.by) for network in observed.networks]
    existing = observed.existing.network.subnet if observed.existing else None
    if lab.network.subnet != "auto":
        subnet = ipaddress.IPv4Network(lab.network.subnet)
        # Machines that are there already may well be on a network of this host.
        shared = lab.provider == "static" or lab.network.subnet == existing
        for other, by in [] if shared else taken:
            if subnet.overlaps(other):
                ledger.lack(
                    f"{subnet} overlaps {other}, used by {by}", "network.subnet: auto", ledger.spec.at("network.subnet")
                )
        return subnet, ""
    if existing:
        return ipaddress.IPv4Network(existing), "auto: the lab has it already"
    pool = ipaddress.IPv4Network(AUTO_SUBNETS)
    for candidate in pool.subnets(new_prefix=24):
        if not any(candidate.overlaps(other) for other, _ in taken):
            return candidate, f"auto: the first /24 of {pool} that nobody uses"
    ledger.lack(
        f"no /24 of {pool} is free",
        "destroy a lab, or name a free network under network.subnet",
        ledger.spec.at("network.subnet"),
    )
    return next(pool.subnets(new_prefix=24)), ""


def nodes(lab: Lab, subnet: str, observed: Observed, ledger: Ledger) -> tuple[NodePlan, ...]:
    """Every machine, control plane first, with address, size and SSH port."""
    base = ipaddress.IPv4Network(subnet).network_address
    places = offsets(lab)
    there = dict(zip(places, static_hosts(lab), strict=False))
    ports = {name: host.port for name, host in there.items()} or _ssh_ports(places, lab, observed, ledger)
    planned: list[NodePlan] = []
    for name, offset in places.items():
        first = not planned
        size = lab.control_plane if first else lab.workers
        planned.append(
            NodePlan(
                name=name,
                role="control_plane" if first else "worker",
                address=there[name].address if name in there else str(base + offset),
                cpus=size.cpus,
                memory=size.memory,
                ssh_port=ports[name],
                display_name=name + lab.names.suffix,
            )
        )
    return tuple(planned)


def static_hosts(lab: Lab) -> tuple[StaticHost, ...]:
    """The machines that are there already; none for a provider that makes them."""
    found = (STATIC_HOST.fullmatch(host) for host in lab.static.hosts if lab.provider == "static")
    return tuple(
        StaticHost(match["user"], match["address"], int(match["port"] or 22), match["fingerprint"])
        for match in found
        if match
    )


def _ssh_ports(places: Mapping[str, int], lab: Lab, observed: Observed, ledger: Ledger) -> dict[str, int]:
    busy = {port.port: port.by for port in observed.busy_ports}
    field = "network.ssh_port_base"

    def block(base: int) -> dict[str, int]:
        return {name: base + offset - 10 for name, offset in places.items()}

    def shown(ports: Mapping[str, int]) -> str:
        return (
            ", ".join(map(str, ports.values())) if len(ports) < 6 else f"{min(ports.values())} .. {max(ports.values())}"
        )

    wanted = block(lab.network.ssh_port_base)
    held = {name: port for name, port in wanted.items() if port in busy}
    if ledger.spec.is_explicit(field):
        for name, port in held.items():
            ledger.lack(
                f"port {port}, SSH of {name}, is held by {busy[port] or 'another program'}",
                "end that program, or leave network.ssh_port_base out: a default moves to free ports",
                ledger.spec.at(field),
            )
        ledger.decide("network.ssh_ports", shown(wanted), ledger.spec.why(field))
        return wanted
    if observed.existing:
        kept = {node.name: node.ssh_port for node in observed.existing.nodes}
        ports = _fill(places, kept, wanted, set(busy))
        ledger.decide("network.ssh_ports", shown(ports), "the lab has them already")
        return ports
    if not held:
        ledger.decide("network.ssh_ports", shown(wanted), "ssh_port_base + last octet - 10")
        return wanted
    first = next(iter(held.values()))
    for base in MOVED_BASES:
        moved = block(base)
        if max(moved.values()) <= HIGHEST_PORT and not busy.keys() & moved.values():
            reason = f"moved from {lab.network.ssh_port_base}: {first} is held by {busy[first] or 'another program'}"
            ledger.decide("network.ssh_ports", shown(moved), reason)
            return moved
    ledger.lack(
        f"port {first} is held by {busy[first] or 'another program'} and no other block of ports is free",
        "end that program, or set network.ssh_port_base",
        ledger.spec.at(field),
    )
    return wanted


def _fill(
    places: Mapping[str, int], kept: Mapping[str, int], wanted: Mapping[str, int], busy: set[int]
) -> dict[str, int]:
    """Kept ports for nodes that have one; the usual one, or the next free one, for nodes that are new."""
    ports: dict[str, int] = {name: port for name, port in kept.items() if name in places}
    # The offset between the kept block and the usual one, for labs whose block has moved.
    shift = next((kept[name] - wanted[name] for name in kept if name in wanted), 0)
    for name in places:
        if name in ports:
            continue
        port = wanted[name] + shift
        while port in busy or port in ports.values():
            port = port + 1 if port < HIGHEST_PORT else 50010
        ports[name] = port
    return {name: ports[name] for name in places}


def api_port(lab: Lab, taken: set[int], observed: Observed, ledger: Ledger) -> int:
    """The port on 127.0.0.1 that leads to the API server; `taken` are the lab's own SSH ports."""
    field = "kubernetes.api_port"
    busy = {port.port: port.by for port in observed.busy_ports}
    asked = lab.kubernetes.api_port
    if asked is not None:
        if asked in busy:
            ledger.lack(
                f"port {asked} is held by {busy[asked] or 'another program'}",
                "end that program, or leave kubernetes.api_port out: a default moves to a free port",
                ledger.spec.at(field),
            )
        ledger.decide(field, asked)
        return asked
    if observed.existing and observed.existing.kubernetes:
        port = observed.existing.kubernetes.api_port
        ledger.decide(field, port, "the lab has it already")
        return port
    port = DEFAULT_API_PORT
    while port in busy or port in taken:
        port += 1
    moved = f"moved from {DEFAULT_API_PORT}, which is busy" if port != DEFAULT_API_PORT else "default"
    ledger.decide(field, port, moved)
    return port
