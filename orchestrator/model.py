"""The plain data that every layer speaks: the Plan (all decisions), nodes as a provider reports them, capabilities."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.addresses import Addresses
from orchestrator.box import Box
from orchestrator.host_access import Forward, Mount

Role = Literal["control_plane", "worker"]
Runtime = Literal["docker", "containerd"]
Cni = Literal["calico", "bridge_cni", "none"]
Dns = Literal["coredns", "dnsmasq"]
# What the bundle of a lab can be made from, as lab.yml names it.
LabOrigin = Literal["community", "mirror", "modules", "debian", "system"]
BundleOrigin = Literal[LabOrigin, "conformance", "registry"]
# What each origin is called in sentences.
ORIGINS: dict[BundleOrigin, str] = {
    "debian": "Debian's source package",
    "modules": "the Go module proxy",
    "system": "the distribution's packages",
    "community": "the community's repositories",
    "mirror": "the mirror",
    "conformance": "the Go module proxy",
    "registry": "the Go module proxy",
}
# The registry of providers, in the order of preference: a name is the folder of the provider.
ProviderName = Literal["virtualbox", "libvirt", "container", "static"]
CgroupMode = Literal["v1", "v2"]

PLAN_SCHEMA = "labctl/plan/v1"


@dataclass(frozen=True)
class Decision:
    """One decision of the plan: the field of lab.yml it answers, the value taken, and why."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True)
class Inotify:
    """Instances and watches of inotify: what one user may have, what is in use, or what a machine opens."""

    instances: int = 0
    watches: int = 0


NO_INOTIFY = Inotify()


@dataclass(frozen=True)
class NodePlan:
    """One machine to be: `name` is VM, host and Kubernetes node name; memory in MB.

    `ssh_port` on 127.0.0.1 leads to the node's port 22; `display_name` is what VirtualBox shows, suffix included.
    """

    name: str
    role: Role
    address: str
    cpus: int
    memory: int
    ssh_port: int
    display_name: str


@dataclass(frozen=True)
class StaticHost:
    """A machine that lab.yml lists: how it is reached, and the SHA256 fingerprint of its host key."""

    user: str
    address: str
    port: int
    fingerprint: str


@dataclass(frozen=True)
class NetworkPlan:
    """Networks of the lab, all in CIDR notation and pairwise disjoint; `gateway` is the host's address on `subnet`."""

    subnet: str
    gateway: str
    pod_cidr: str
    service_cidr: str
    dns_address: str
    dns_domain: str
    resolvers: tuple[str, ...]


@dataclass(frozen=True)
class KubernetesPlan:
    """Everything decided about Kubernetes; `version` has no leading v, `api_port` on 127.0.0.1 leads to port 6443.

    `etcd_tag` and `dns_tag` are None where kubeadm's own are right. `containerd` is the version the source brings,
    empty for the guest's own. `network_policy_image` enforces NetworkPolicy where the pod network does not.
    `kubelet_gates_off` are features of the kubelet that the runtime does not stand. `allow_cgroup_v1`: the kubelet has
    to be told that version 1 is meant. `pod_resolvers` are the DNS servers that pods inherit where the nodes' own would
    be of no use. `endpoint` is the API server's name on the nodes, None in a lab made when the address was used.
    `docker_ce`: Docker is Docker's own. A silent node is NotReady after `node_grace_period` seconds, and its pods go
    elsewhere `eviction_period` later; `grace_periods` says whether these are Kubernetes' own or set.
    """

    version: str
    config_api: str
    runtime: Runtime
    cri_socket: str
    cgroup_driver: Literal["systemd", "cgroupfs"]
    image_registry: str
    pause_image: str
    cni: Cni
    cni_version: str | None
    dns: Dns
    api_port: int
    role_labels: tuple[str, ...]
    taints: tuple[str, ...]
    untaint_control_plane: bool
    extra_args_as_list: bool
    cri_dockerd_version: str | None = None
    etcd_tag: str | None = None
    dns_tag: str | None = None
    containerd: str = ""
    network_policy_image: str | None = None
    allow_cgroup_v1: bool = False
    kubelet_gates_off: tuple[str, ...] = ()
    pod_resolvers: tuple[str, ...] = ()
    endpoint: str | None = None
    docker_ce: bool = False
    grace_periods: Literal["kubernetes", "short"] = "kubernetes"
    node_grace_period: int = 40
    eviction_period: int = 300


@dataclass(frozen=True)
class SourcePlan:
    """The bundle that the nodes install from.

    `bundle_id` names an entry of the cache (`build_bundle` says it is yet to be made, from `origin`), served to the
    nodes under `url` while needed. It is None in plans of earlier versions, whose nodes read repositories themselves.
    `addresses` are those of a mirror. `signed_by` is the file with the required key, empty for none.
    """

    bundle_id: str | None = None
    build_bundle: bool = False
    url: str | None = None
    origin: BundleOrigin | None = None
    addresses: Addresses | None = None
    signed_by: str = ""


@dataclass(frozen=True)
class Plan:
    """Every decision about a lab, made before anything starts; printable, and saved as plan.json.

    `static_hosts` are the machines of the provider `static`, as in `nodes`; `static_key` lets this host in the first
    time, `static_shared_kernel` says that they are containers. `uuid` and `owner` (the directory of lab.yml) are the
    identity that all it makes carries. `kubernetes` is None in the `bare` profile, `box` where lab.yml names none.
    `forwards` are those of lab.yml, besides SSH and the API server; with `registry` the control plane runs one.
    `root_login` says how people log in as root from this host (`key`), and from a node (`password`).
    """

    name: str
    uuid: str
    owner: str
    profile: str
    provider: ProviderName
    guest: str
    group: str
    nodes: tuple[NodePlan, ...]
    network: NetworkPlan
    source: SourcePlan
    kubernetes: KubernetesPlan | None
    base_packages: tuple[str, ...]
    http_proxy: str | None = None
    decisions: tuple[Decision, ...] = ()
    ca: str | None = None
    static_hosts: tuple[StaticHost, ...] = ()
    static_key: str | None = None
    static_shared_kernel: bool = False
    box: Box | None = None
    mounts: tuple[Mount, ...] = ()
    forwards: tuple[Forward, ...] = ()
    root_login: Literal["no", "key", "password"] = "no"
    registry: bool = False

    @property
    def control_plane(self) -> NodePlan:
        return next(node for node in self.nodes if node.role == "control_plane")

    @property
    def workers(self) -> tuple[NodePlan, ...]:
        return tuple(node for node in self.nodes if node.role == "worker")

    @property
    def host_ports(self) -> tuple[int, ...]:
        """Every port of this host that leads into the lab."""
        api_port = (self.kubernetes.api_port,) if self.kubernetes else ()
        return (*(node.ssh_port for node in self.nodes), *api_port, *(one.host_port for one in self.forwards))

    def mounts_of(self, node: str) -> tuple[Mount, ...]:
        """The mounts of one node."""
        return tuple(mount for mount in self.mounts if node in mount.nodes)

    def forwards_of(self, node: str) -> tuple[Forward, ...]:
        """The forwards to one node that lab.yml asks for."""
        return tuple(forward for forward in self.forwards if forward.node == node)

    def as_json(self) -> str:
        """The plan as the one document `labctl/plan/v1`."""
        from pydantic import TypeAdapter

        body: dict[str, Any] = TypeAdapter(Plan).dump_python(self, mode="json")
        body |= {"registry": True} if body.pop("registry") else {}
        return json.dumps({"schema": PLAN_SCHEMA, **body}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read back what `as_json` wrote; raises ValueError when it is something else."""
        from pydantic import TypeAdapter

        body = json.loads(text)
        if not isinstance(body, dict) or body.pop("schema", None) != PLAN_SCHEMA:
            raise ValueError(f"not a {PLAN_SCHEMA} document")
        return TypeAdapter(cls).validate_python(body)


@dataclass(frozen=True)
class Node:
    """A machine as its provider reports it now: how to reach it by SSH, and whether it runs.

    `host_keys` (`ssh-ed25519 AAAA...`) are handed over by the provider, never scanned where it can do better.
    """

    name: str
    state: Literal["running", "stopped", "missing", "broken"]
    ssh_host: str = "127.0.0.1"
    ssh_port: int = 22
    ssh_user: str = "vagrant"
    host_keys: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Capabilities:
    """What the machines of a provider own, so that no role ever asks "am I in a container?"; by default everything.

    A False means that the thing belongs to the user's host: the roles leave it alone and the checks say
    "not applicable" with `reasons[<field>]`. `oci_runtime` is the path, on the node, of the OCI runtime that
    container runtimes there must use; empty when any will do. `emulated`: a processor of software, ten times as slow.
    """

    own_kernel: bool = True
    own_swap: bool = True
    own_modules: bool = True
    own_conntrack_limits: bool = True
    selinux: bool = True
    snapshot: bool = True
    cgroup: CgroupMode = "v2"
    reasons: dict[str, str] = field(default_factory=dict)
    oci_runtime: str = ""
    emulated: bool = False


@dataclass(frozen=True)
class SourceAccess:
    """How nodes reach the bundle now; `key_file`, `calico_manifest` and `registry_program` are paths on this host.

    `worker_archive_url` is the part of the image archive that workers need. An empty string: the bundle has none.
    """

    apt_url: str
    rpm_url: str
    key_file: str
    image_archive_url: str = ""
    image_archive_sha256: str = ""
    worker_archive_url: str = ""
    worker_archive_sha256: str = ""
    calico_manifest: str = ""
    calico_manifest_sha256: str = ""
    registry_program: str = ""
