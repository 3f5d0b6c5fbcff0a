"""Rules between the fields of lab.yml that one field alone cannot break."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.spec.schema import KUBEADM_CPUS, KUBEADM_MEMORY, MIRROR_EXAMPLE, STATIC_HOST, WORKER_MEMORY, Lab
from orchestrator.spec.source import FieldPath

# The range that VirtualBox allows without a configuration file; `subnet: auto` stays in it.
AUTO_SUBNETS = "192.168.56.0/21"


@dataclass(frozen=True)
class Broken:
    """A broken rule: the field to change, all fields it looks at, what is wrong and the fix."""

    path: FieldPath
    involved: tuple[FieldPath, ...]
    what: str
    fix: str


def broken(lab: Lab) -> Iterator[Broken]:
    """Every rule that `lab` breaks."""
    yield from _machines(lab)
    yield from _static(lab)
    yield from _networks(lab)
    misplaced = list(_addresses(lab))
    yield from misplaced
    if lab.kubernetes.enabled and not misplaced:
        yield from _cluster_sizes(lab)
    yield from _ports(lab)
    yield from _names(lab)
    if lab.packages.source == "mirror" and lab.packages.mirror.url is None:
        yield Broken(
            ("packages", "mirror", "url"),
            (("packages", "source"), ("packages", "mirror")),
            "the package source `mirror` needs the URL of the mirror",
            MIRROR_EXAMPLE,
        )


def _static(lab: Lab) -> Iterator[Broken]:
    """Machines that lab.yml lists: as many as the lab has, on its network, none twice."""
    hosts: FieldPath = ("static", "hosts")
    if lab.listed is None:
        return
    addresses = [STATIC_HOST.fullmatch(host)["address"] for host in lab.listed.hosts]  # type: ignore[index]
    if len(addresses) != lab.workers.count + 1:
        fix = f"write workers: {{count: {len(addresses) - 1}}}" if addresses else "list them under static.hosts"
        yield Broken(
            hosts,
            (hosts, ("workers", "count"), ("provider",)),
            f"{len(addresses)} machines are listed, the lab has {lab.workers.count + 1}",
            fix,
        )
    if twice := sorted({address for address in addresses if addresses.count(address) > 1}):
        yield Broken(hosts, (hosts,), f"{', '.join(twice)} is listed twice", "list each machine once")
    if lab.network.subnet == "auto":
        yield Broken(
            ("network", "subnet"),
            (("network", "subnet"), ("provider",)),
            "machines that are there already have a network, which `auto` cannot know",
            "write the network that the machines share, for example 10.0.0.0/24",
        )
        return
    subnet = ipaddress.IPv4Network(lab.network.subnet)
    if outside := [address for address in addresses if ipaddress.IPv4Address(address) not in subnet]:
        yield Broken(
            ("network", "subnet"),
            (("network", "subnet"), hosts),
            f"{', '.join(outside)} is outside the machines' network {subnet}",
            "write the network that the machines share, for example 10.0.0.0/24",
        )


def _machines(lab: Lab) -> Iterator[Broken]:
    if not lab.kubernetes.enabled:
        return
    switch: FieldPath = ("kubernetes", "enabled")
    minima: tuple[tuple[FieldPath, int, int, str, str], ...] = (
        (("control_plane", "cpus"), lab.control_plane.cpus, KUBEADM_CPUS, " CPUs", "what kubeadm asks for"),
        (("control_plane", "memory"), lab.control_plane.memory, KUBEADM_MEMORY, " MB", "what kubeadm asks for"),
        (("workers", "memory"), lab.workers.memory, WORKER_MEMORY, " MB", "what a kubelet with its runtime needs"),
    )
    for path, value, minimum, unit, reason in minima:
        if value < minimum and (path[0] != "workers" or lab.workers.count > 0):
            yield Broken(
                path,
                (path, switch),
                f"{value} is below {minimum}{unit}, {reason}",
                f"write {path[-1]}: {minimum} or more, or take the profile `bare` for machines without Kubernetes",
            )


def _networks(lab: Lab) -> Iterator[Broken]:
    node_path: FieldPath = ("network", "subnet")
    automatic = lab.network.subnet == "auto"
    networks: list[tuple[FieldPath, str, ipaddress.IPv4Network]] = [
        (node_path, "the machines' network", ipaddress.IPv4Network(AUTO_SUBNETS if automatic else lab.network.subnet))
    ]
    if lab.kubernetes.enabled:
        networks += [
            (("kubernetes", "pod_cidr"), "the pod network", ipaddress.IPv4Network(lab.kubernetes.pod_cidr)),
            (("kubernetes", "service_cidr"), "the Service network", ipaddress.IPv4Network(lab.kubernetes.service_cidr)),
        ]
    for index, (path, title, network) in enumerate(networks):
        for other_path, other_title, other in networks[:index]:
            if network.overlaps(other):
                yield Broken(
                    path,
                    (path, other_path),
                    f"{title} {network} overlaps {other_title} {other}",
                    "give it addresses of its own; the defaults 172.16.0.0/16 (pods), 10.96.0.0/12 (Services) and "
                    "192.168.56.0/24 (machines) are disjoint",
                )


def _cluster_sizes(lab: Lab) -> Iterator[Broken]:
    pods = ipaddress.IPv4Network(lab.kubernetes.pod_cidr)
    # The controller manager cuts a /24 for each node.
    blocks = 2 ** max(0, 24 - pods.prefixlen) if pods.prefixlen <= 24 else 0
    if blocks < lab.workers.count + 1:
        yield Broken(
            ("kubernetes", "pod_cidr"),
            (("kubernetes", "pod_cidr"), ("workers", "count")),
            f"{pods} has room for {blocks} nodes (a /24 each), the lab has {lab.workers.count + 1}",
            "write a larger network, for example 172.16.0.0/16",
        )
    services = ipaddress.IPv4Network(lab.kubernetes.service_cidr)
    # kubeadm refuses larger ones (its validation allows 20 host bits) and needs the tenth address for the DNS.
    if not 12 <= services.prefixlen <= 27:
        yield Broken(
            ("kubernetes", "service_cidr"),
            (("kubernetes", "service_cidr"),),
            f"{services} cannot be a Service network (kubeadm takes /12 to /27)",
            "for example 10.96.0.0/12",
        )


def subnet_prefix(lab: Lab) -> int:
    """Prefix length of the machines' network; `auto` takes a /24."""
    return 24 if lab.network.subnet == "auto" else ipaddress.IPv4Network(lab.network.subnet).prefixlen


def _addresses(lab: Lab) -> Iterator[Broken]:
    if lab.listed is not None:
        # Their machines have the addresses they have.
        return
    # The last address is the broadcast; .1 is this host.
    last = 2 ** (32 - subnet_prefix(lab)) - 2
    control_plane, first = lab.network.control_plane_offset, lab.network.worker_offset
    subnet: FieldPath = ("network", "subnet")
    if control_plane > last:
        yield Broken(
            ("network", "control_plane_offset"),
            (subnet, ("network", "control_plane_offset")),
            f"{control_plane} is outside the machines' network, whose last address is number {last}",
            f"write 2 to {last}",
        )
    room = max(0, last - first + 1)
    if control_plane >= first:
        room = min(room, control_plane - first)
    if lab.workers.count > room:
        yield Broken(
            ("workers", "count"),
            (subnet, ("network", "worker_offset"), ("network", "control_plane_offset"), ("workers", "count")),
            f"{lab.workers.count} workers do not fit: from offset {first} on, the network has room for {room}",
            f"write 0 to {room}" + ("" if room < 1 else ", or a larger network.subnet"),
        )


def _ports(lab: Lab) -> Iterator[Broken]:
    if lab.listed is not None:
        return
    base = lab.network.ssh_port_base
    offsets = [lab.network.control_plane_offset]
    if lab.workers.count:
        offsets += [lab.network.worker_offset, lab.network.worker_offset + lab.workers.count - 1]
    low, high = base + min(offsets) - 10, base + max(offsets) - 10
    paths: tuple[FieldPath, ...] = (("network",), ("workers", "count"), ("kubernetes", "api_port"))
    if low < 1024 or high > 65535:
        yield Broken(
            ("network", "ssh_port_base"),
            paths,
            f"the SSH ports would be {low} to {high}, outside 1024 to 65535",
            "write ssh_port_base: 60010, the default",
        )
    api = lab.kubernetes.api_port
    if api is not None and lab.kubernetes.enabled and api in set(ssh_ports(lab).values()):
        yield Broken(("kubernetes", "api_port"), paths, f"{api} is the SSH port of a node", "write another port")


def ssh_ports(lab: Lab, base: int | None = None) -> dict[str, int]:
    """The SSH port of every node: ssh_port_base + last octet - 10."""
    start = lab.network.ssh_port_base if base is None else base
    return {name: start + offset - 10 for name, offset in offsets(lab).items()}


def offsets(lab: Lab) -> dict[str, int]:
    """Every node's name, control plane first, with its address counted from the subnet's start."""
    names = {lab.names.control_plane: lab.network.control_plane_offset}
    for index in range(lab.workers.count):
        names[lab.names.worker.replace("{i}", str(index + 1))] = lab.network.worker_offset + index
    return names


def _names(lab: Lab) -> Iterator[Broken]:
    workers = {lab.names.worker.replace("{i}", str(index + 1)) for index in range(min(lab.workers.count, 1000))}
    if lab.names.control_plane in workers:
        yield Broken(
            ("names", "control_plane"),
            (("names",), ("workers", "count")),
            f"{lab.names.control_plane!r} is the name of a worker too",
            "host names must differ: for example `m-k8s` and `w{i}-k8s`",
        )
