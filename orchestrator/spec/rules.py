"""Rules between the fields of lab.yml that one field alone cannot break."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.spec.schema import Lab
from orchestrator.spec.values import KUBEADM_CPUS, KUBEADM_MEMORY, MIRROR_EXAMPLE, STATIC_HOST, WORKER_MEMORY

# The range that VirtualBox allows without a configuration file; `subnet: auto` stays in it.
AUTO_SUBNETS = "192.168.56.0/21"

# What labctl, Kubernetes or the system of a node keeps there, or mounts there itself.
MANAGED = {
    "/etc": "the node's settings",
    "/usr": "the node's programs",
    "/bin": "the node's programs",
    "/sbin": "the node's programs",
    "/lib": "the node's programs",
    "/lib64": "the node's programs",
    "/boot": "the node's kernel",
    "/dev": "devices",
    "/proc": "the kernel's files",
    "/sys": "the kernel's files",
    "/run": "a file system in memory",
    "/tmp": "a file system in memory",
    "/root": "the administrator's home",
    "/home/vagrant/.ssh": "the lab's key",
    "/home/vagrant/.kube": "the lab's kubeconfig",
    "/opt/cni": "the pod network's programs",
    "/var/lib/kubelet": "the kubelet's data",
    "/var/lib/etcd": "the cluster's data",
    "/var/lib/docker": "Docker's data",
    "/var/lib/containerd": "containerd's data",
    "/var/lib/cni": "the pod network's data",
    "/var/lib/calico": "the pod network's data",
    "/var/lib/labctl": "labctl's data",
    "/var/lib/apt": "the package manager's data",
    "/var/lib/dpkg": "the package manager's data",
    "/var/lib/rpm": "the package manager's data",
    "/var/lib/systemd": "systemd's data",
    "/var/cache": "the package manager's data",
    "/var/log": "the node's logs",
    "/var/run": "a file system in memory",
    "/vagrant": "Vagrant's own shared folder, which labctl leaves off",
}


@dataclass(frozen=True)
class Violation:
    """A broken rule: the field to change, what is wrong, the fix, and the other fields that the rule reads."""

    field: str
    what: str
    fix: str
    others: tuple[str, ...] = ()


def violations(lab: Lab) -> Iterator[Violation]:
    """Every rule that `lab` breaks."""
    yield from _minimum_sizes(lab)
    yield from _static_hosts(lab)
    yield from _disjoint_networks(lab)
    unplaced = list(_addresses(lab))
    yield from unplaced
    if lab.kubernetes.enabled and not unplaced:
        yield from _cluster_networks(lab)
    yield from _ports(lab)
    yield from _names(lab)
    yield from _mounts(lab)
    yield from _forwards(lab)
    if lab.book.root_password and (lab.profile != "book" or lab.listed):
        what, fix = f"root has no password in the profile `{lab.profile}`", "write profile: book, or remove it"
        if lab.profile == "book":
            what, fix = "machines of the provider `static` keep the passwords that they have", "remove it"
        yield Violation("book.root_password", what, fix, ("profile", "provider"))
    if lab.packages.source == "mirror" and not (lab.packages.mirror.url or lab.packages.mirror.hosts):
        what = "the package source `mirror` needs the URL of the mirror"
        yield Violation("packages.mirror.url", what, MIRROR_EXAMPLE, ("packages.source", "packages.mirror"))
    if lab.packages.source == "system" and lab.kubernetes.enabled:
        what = "the package source `system` has no Kubernetes"
        fix = "packages.source: auto, or the profile `bare` for machines without Kubernetes"
        yield Violation("packages.source", what, fix, ("kubernetes.enabled",))


def _minimum_sizes(lab: Lab) -> Iterator[Violation]:
    minima = [
        ("control_plane.cpus", lab.control_plane.cpus, KUBEADM_CPUS, " CPUs, the minimum of kubeadm"),
        ("control_plane.memory", lab.control_plane.memory, KUBEADM_MEMORY, " MB, the minimum of kubeadm"),
    ]
    if lab.workers.count:
        reason = " MB, the minimum of a kubelet and its runtime"
        minima.append(("workers.memory", lab.workers.memory, WORKER_MEMORY, reason))
    for field, value, minimum, reason in minima if lab.kubernetes.enabled else ():
        if value < minimum:
            key = field.partition(".")[2]
            fix = f"write {key}: {minimum} or more, or take the profile `bare` for machines without Kubernetes"
            yield Violation(field, f"{value} is below {minimum}{reason}", fix, ("kubernetes.enabled",))


def _static_hosts(lab: Lab) -> Iterator[Violation]:
    """Existing machines: as many as the lab has, on its network, each listed once."""
    if lab.listed is None:
        return
    addresses = [STATIC_HOST.fullmatch(host)["address"] for host in lab.listed.hosts]  # type: ignore[index]
    if len(addresses) != lab.workers.count + 1:
        what = f"{len(addresses)} machines are listed, the lab has {lab.workers.count + 1}"
        fix = f"write workers: {{count: {len(addresses) - 1}}}" if addresses else "list them under static.hosts"
        yield Violation("static.hosts", what, fix, ("workers.count", "provider"))
    if repeated := sorted({address for address in addresses if addresses.count(address) > 1}):
        yield Violation("static.hosts", f"{', '.join(repeated)} is listed twice", "list each machine once")
    fix = "write the network that the machines share, for example 10.0.0.0/24"
    if lab.network.subnet == "auto":
        what = "existing machines have a network, which `auto` cannot know"
        yield Violation("network.subnet", what, fix, ("provider",))
        return
    subnet = ipaddress.IPv4Network(lab.network.subnet)
    if outside := [address for address in addresses if ipaddress.IPv4Address(address) not in subnet]:
        what = f"{', '.join(outside)} is outside the machines' network {subnet}"
        yield Violation("network.subnet", what, fix, ("static.hosts",))


def _disjoint_networks(lab: Lab) -> Iterator[Violation]:
    subnet = AUTO_SUBNETS if lab.network.subnet == "auto" else lab.network.subnet
    networks = [("network.subnet", "the machines' network", ipaddress.IPv4Network(subnet))]
    if lab.kubernetes.enabled:
        networks += [
            ("kubernetes.pod_cidr", "the pod network", ipaddress.IPv4Network(lab.kubernetes.pod_cidr)),
            ("kubernetes.service_cidr", "the Service network", ipaddress.IPv4Network(lab.kubernetes.service_cidr)),
        ]
    fix = (
        "give it addresses of its own; the defaults 172.16.0.0/16 (pods), 10.96.0.0/12 (Services) and "
        "192.168.56.0/24 (machines) are disjoint"
    )
    for index, (field, title, network) in enumerate(networks):
        for other_field, other_title, other in networks[:index]:
            if network.overlaps(other):
                yield Violation(field, f"{title} {network} overlaps {other_title} {other}", fix, (other_field,))


def _cluster_networks(lab: Lab) -> Iterator[Violation]:
    pods = ipaddress.IPv4Network(lab.kubernetes.pod_cidr)
    # The controller manager cuts a /24 for each node.
    blocks = 2 ** (24 - pods.prefixlen) if pods.prefixlen <= 24 else 0
    if blocks < lab.workers.count + 1:
        what = f"{pods} has room for {blocks} nodes (a /24 each), the lab has {lab.workers.count + 1}"
        fix = "write a larger network, for example 172.16.0.0/16"
        yield Violation("kubernetes.pod_cidr", what, fix, ("workers.count",))
    services = ipaddress.IPv4Network(lab.kubernetes.service_cidr)
    # kubeadm refuses larger ones (its validation allows 20 host bits) and needs the tenth address for the DNS.
    if not 12 <= services.prefixlen <= 27:
        what = f"{services} cannot be a Service network (kubeadm takes /12 to /27)"
        yield Violation("kubernetes.service_cidr", what, "for example 10.96.0.0/12")


def _addresses(lab: Lab) -> Iterator[Violation]:
    if lab.listed is not None:
        # Existing machines have the addresses they have.
        return
    prefix = 24 if lab.network.subnet == "auto" else ipaddress.IPv4Network(lab.network.subnet).prefixlen
    # The last address is the broadcast; .1 is this host.
    last = 2 ** (32 - prefix) - 2
    control_plane, first = lab.network.control_plane_offset, lab.network.worker_offset
    if control_plane > last:
        what = f"{control_plane} is outside the machines' network, whose last address is number {last}"
        yield Violation("network.control_plane_offset", what, f"write 2 to {last}", ("network.subnet",))
    room = max(0, last - first + 1)
    if control_plane >= first:
        room = min(room, control_plane - first)
    if lab.workers.count > room:
        what = f"{lab.workers.count} workers do not fit: from offset {first} on, the network has room for {room}"
        fix = f"write 0 to {room}" + ("" if room < 1 else ", or a larger network.subnet")
        others = ("network.subnet", "network.worker_offset", "network.control_plane_offset")
        yield Violation("workers.count", what, fix, others)


def _ports(lab: Lab) -> Iterator[Violation]:
    if lab.listed is not None:
        return
    base = lab.network.ssh_port_base - 10
    workers = range(lab.network.worker_offset, lab.network.worker_offset + lab.workers.count)
    used = [lab.network.control_plane_offset, *(workers[:1]), *(workers[-1:])]
    low, high = base + min(used), base + max(used)
    others = ("network", "workers.count", "kubernetes.api_port")
    if low < 1024 or high > 65535:
        what = f"the SSH ports would be {low} to {high}, outside 1024 to 65535"
        yield Violation("network.ssh_port_base", what, "write ssh_port_base: 60010, the default", others)
    api = lab.kubernetes.api_port
    if lab.kubernetes.enabled and api and (api - base == lab.network.control_plane_offset or api - base in workers):
        yield Violation("kubernetes.api_port", f"{api} is the SSH port of a node", "write another port", others)


def offsets(lab: Lab) -> dict[str, int]:
    """Every node's name, control plane first, with its address counted from the subnet's start."""
    names = _worker_names(lab, lab.workers.count)
    workers = {name: lab.network.worker_offset + index for index, name in enumerate(names)}
    return {lab.names.control_plane: lab.network.control_plane_offset, **workers}


def _worker_names(lab: Lab, count: int) -> list[str]:
    return [lab.names.worker.replace("{i}", str(index + 1)) for index in range(count)]


def _names(lab: Lab) -> Iterator[Violation]:
    # The number of workers is not checked yet, and may be any.
    if lab.names.control_plane in _worker_names(lab, min(lab.workers.count, 1000)):
        what = f"{lab.names.control_plane!r} is the name of a worker too"
        fix = "host names must differ: for example `m-k8s` and `w{i}-k8s`"
        yield Violation("names.control_plane", what, fix, ("names", "workers.count"))


def _overlap(one: str, other: str) -> bool:
    """Whether one of two paths is the other or above it."""
    return PurePosixPath(one).is_relative_to(other) or PurePosixPath(other).is_relative_to(one)


def _mounts(lab: Lab) -> Iterator[Violation]:
    """Every mount is away from what the machines are made of, and from the others."""
    for index, mount in enumerate(lab.mounts):
        field = f"mounts.{index}"
        if managed := next((place for place in MANAGED if _overlap(mount.node, place)), None):
            what = f"{mount.node} would hide {managed} ({MANAGED[managed]})"
            yield Violation(f"{field}.node", what, "choose a folder of its own, such as /data or /srv/data")
        for earlier, other in enumerate(lab.mounts[:index]):
            shared = mount.nodes is None or other.nodes is None or {*mount.nodes} & {*other.nodes}
            if shared and _overlap(mount.node, other.node):
                one = "the same place" if mount.node == other.node else "one inside the other"
                what = f"{mount.node} and {other.node} (mounts.{earlier}) are {one} on the same machine"
                yield Violation(f"{field}.node", what, "give each mount a folder of its own")


def _forwards(lab: Lab) -> Iterator[Violation]:
    """No port of this host leads to two places."""
    first: dict[int, int] = {}
    for index, forward in enumerate(lab.ports):
        earlier = first.setdefault(forward.host, index)
        if earlier != index:
            what = f"{forward.host} is the port of ports.{earlier} already"
            yield Violation(f"ports.{index}.host", what, "give each its own port of this host")
