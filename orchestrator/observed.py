"""What planning depends on, as plain data: this host, its providers and package sources, and the lab as it exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.addresses import Addresses
from orchestrator.model import NO_INOTIFY, BundleOrigin, CgroupMode, Inotify, Plan, ProviderName


@dataclass(frozen=True)
class Sizing:
    """What a provider's machines take of the host; memory and disk in MB.

    With `machine_memory` the memory of lab.yml is taken as a whole when a machine starts; otherwise it is a limit, and
    `memory_*` is what a node uses. `inotify_*` counts against the host's limits where its kernel is the machines'.
    """

    machine_memory: bool = True
    disk_lab: int = 0
    disk_node: int = 0
    disk_bare: int = 0
    minimum_cpus: int = 1
    memory_control_plane: int = 0
    memory_worker: int = 0
    memory_bare: int = 0
    inotify_control_plane: Inotify = NO_INOTIFY
    inotify_worker: Inotify = NO_INOTIFY
    inotify_bare: Inotify = NO_INOTIFY

    def inotify(self, control_planes: int, workers: int, kubernetes: bool) -> Inotify:
        """What so many nodes open together."""
        each = (self.inotify_control_plane, self.inotify_worker) if kubernetes else (self.inotify_bare,) * 2
        counted = ((control_planes, each[0]), (workers, each[1]))
        return Inotify(
            sum(count * node.instances for count, node in counted), sum(count * node.watches for count, node in counted)
        )


@dataclass(frozen=True)
class ProviderTraits:
    """What planning has to know of a provider.

    `shares_kernel`: its machines run on the kernel of this host. Without `creates_machines` they are those that
    lab.yml lists: their number, addresses and network are given, and `auto` never takes them. `adapters` begins the
    names of interfaces that its labs leave on the host and take again. `loopback_resolver`: the machines' own DNS
    server is on their loopback, where no pod reaches it. `has_boxes`: they are made from Vagrant boxes. `mounts`: a
    folder of the host is itself in a machine, or a copy that only goes there. `forwards`: they have ports on the host.
    """

    sizing: Sizing = Sizing()
    shares_kernel: bool = False
    creates_machines: bool = True
    adapters: str = ""
    loopback_resolver: bool = False
    has_boxes: bool = False
    mounts: Literal["bind", "copy", "none"] = "none"
    forwards: bool = False


@dataclass(frozen=True)
class ProviderState:
    """One provider as this host has it: `detail` says what is missing when it is not `ready`, `fix` how to get it.

    `only_named` says why `auto` passes a ready provider by, so that it is taken only when it is named.
    """

    name: ProviderName
    ready: bool
    detail: str = ""
    fix: str = ""
    only_named: str = ""
    traits: ProviderTraits = ProviderTraits()

    @property
    def automatic(self) -> bool:
        return self.ready and not self.only_named and self.traits.creates_machines


@dataclass(frozen=True)
class SourceContent:
    """What a bundle holds, or will hold once it is made.

    `containerd` is its version there, empty when it is that of the guest's own distribution or unknown. `components`
    are the versions that kubeadm has to be told, because they are not the ones it would ask for. `guest` is the one
    system whose packages it has, empty where it serves all. `docker_ce`: its Docker is Docker's own, not Debian's.
    `unsigned` says why it lacks the signature that lab.yml requires, `unsigned_fix` what helps.
    """

    id: str
    kubernetes: str
    images: tuple[str, ...] = ()
    has_calico: bool = False
    has_coredns: bool = False
    has_cri_dockerd: bool = False
    has_crictl: bool = False
    containerd: str = ""
    components: Mapping[str, str] = field(default_factory=dict)
    guest: str = ""
    docker_ce: bool = False
    unsigned: str = ""
    unsigned_fix: str = ""

    @property
    def calico_version(self) -> str:
        """The version of Calico's images, empty when there are none."""
        return (self.image("calico/node") or "").rpartition(":v")[2]

    def image(self, name: str) -> str | None:
        """The reference of the image whose last part is `name`, when it is there."""
        return next((ref for ref in self.images if ref.rpartition(":")[0].endswith(f"/{name}")), None)


@dataclass(frozen=True)
class BuildableBundle:
    """A bundle that labctl has the recipe of: whether this host can build it, why not, and what it takes.

    `seconds` on this host, `disk` in MB while it is built, the result included.
    """

    content: SourceContent
    origin: BundleOrigin
    possible: bool
    reason: str = ""
    seconds: float = 0.0
    disk: int = 0


@dataclass(frozen=True)
class BusyPort:
    """A TCP port on 127.0.0.1 that somebody other than this lab holds; `by` names the holder as well as it is known."""

    port: int
    by: str = ""


@dataclass(frozen=True)
class TakenNetwork:
    """A network this lab must not use: of an `interface` of the host, or of another `lab`; `by` says whose it is."""

    cidr: str
    by: str
    lab: str = ""
    interface: str = ""


@dataclass(frozen=True)
class HostFolder:
    """A place on this host that lab.yml mounts: its absolute path, and what is there."""

    path: str
    is_folder: bool = True
    exists: bool = True


@dataclass(frozen=True)
class Observed:
    """All facts about this host, its package sources and the lab as it exists that planning depends on.

    Memory and disk in MB. `providers` stand in the order of preference. `kernel` and `cgroup` are the
    host's, `resolvers` its DNS servers that are not on loopback. `buildable` stands in the order of preference.
    `inotify_limit` is None where the kernel has none; `inotify_in_use` is root's, as far as this user sees it.
    `addresses` are those of the mirror that lab.yml names, `signed_by` the file of the key that must have signed the
    bundle. `existing` is the saved plan of this lab when it has machines: what it decided stays decided. `attached` is
    its second bundle, empty for most. `busy_ports` and `networks` leave this lab's own out. `folders` are those of
    lab.yml's mounts, one each.
    """

    uuid: str
    owner: str
    cpus: int
    memory: int
    disk_free: int
    disk_path: str
    kernel: str
    cgroup: CgroupMode
    providers: tuple[ProviderState, ...]
    busy_ports: tuple[BusyPort, ...] = ()
    networks: tuple[TakenNetwork, ...] = ()
    bundles: tuple[SourceContent, ...] = ()
    buildable: tuple[BuildableBundle, ...] = ()
    resolvers: tuple[str, ...] = ()
    inotify_limit: Inotify | None = None
    inotify_in_use: Inotify = NO_INOTIFY
    addresses: Addresses | None = None
    signed_by: str = ""
    existing: Plan | None = None
    folders: tuple[HostFolder, ...] = ()
    attached: str = ""
