"""The model of lab.yml: every key, its type, its default and its description."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from orchestrator.model import LabOrigin, ProviderName
from orchestrator.spec.values import (
    Address,
    BoxName,
    BoxVersion,
    Cpus,
    Domain,
    File,
    Fingerprint,
    Host,
    HostPath,
    Label,
    Memory,
    Network,
    NodePath,
    NodePort,
    Package,
    Password,
    Plain,
    Port,
    Registry,
    Sha256,
    StaticHost,
    Subnet,
    Url,
    Version,
    WorkerPattern,
    refusal,
)


class Section(BaseModel):
    """One block of lab.yml: no unknown keys, no conversion of types, no change after loading.

    The text below a key is its description in the reference and the JSON Schema.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


def section_of_entries(info: FieldInfo) -> type[Section] | None:
    """The keys that each entry of a list has; None for a field that is no list of blocks."""
    item = get_args(info.annotation)[0] if get_origin(info.annotation) is tuple else None
    return item if isinstance(item, type) and issubclass(item, Section) else None


class Kubernetes(Section):
    """The cluster itself."""

    enabled: bool = True
    """false: machines only, as in the profile `bare`"""
    version: Version = "auto"
    """`auto` (newest the package source has and the machines can run), `oldest`, "1.36" or "1.20.2\""""
    runtime: Literal["docker", "containerd"] = "docker"
    """container runtime; a default gives way to containerd where Docker cannot work"""
    cni: Literal["auto", "calico", "bridge_cni", "none"] = "auto"
    """pod network; `auto` is Calico when its images can be had, else bridge_cni; `none`: you install one"""
    dns: Literal["auto", "coredns", "dnsmasq"] = "auto"
    """cluster DNS; `auto` is CoreDNS when its image can be had, else dnsmasq"""
    grace_periods: Literal["kubernetes", "short"] = "kubernetes"
    """`short`: a silent node is NotReady after 16 s and its pods go elsewhere after 30 s more, for lessons"""
    pod_cidr: Network = "172.16.0.0/16"
    """addresses of pods"""
    service_cidr: Network = "10.96.0.0/12"
    """addresses of Services"""
    image_registry: Registry | None = None
    """prefix of the control plane's images; default registry.k8s.io"""
    api_port: Port | None = None
    """port on 127.0.0.1 that leads to the API server; default 60443"""


class LabNetwork(Section):
    """The network that the machines share with this host."""

    subnet: Subnet = "192.168.56.0/24"
    """network of the machines; `auto` takes the next free /24 of 192.168.56.0/21"""
    control_plane_offset: int = Field(10, ge=2)
    """the control plane's address, counted from the subnet's start"""
    worker_offset: int = Field(101, ge=2)
    """the first worker's address, counted from the subnet's start"""
    ssh_port_base: Port = 60010
    """SSH port on 127.0.0.1 = ssh_port_base + last octet - 10"""
    resolvers: tuple[Address, ...] = Field((), max_length=3)
    """DNS servers of the machines; none: those the provider gives them"""
    dns_domain: Domain = "cluster.local"
    """the cluster's DNS domain"""


class ControlPlane(Section):
    """The control plane's machine; memory in MB."""

    cpus: Cpus = 2
    """CPUs; kubeadm needs 2"""
    memory: Memory = 3072
    """MB; kubeadm needs 1700"""


class Workers(Section):
    """The workers, all alike; memory in MB."""

    count: int = Field(3, ge=0)
    """0 is a single-node lab: the control plane takes the work"""
    cpus: Cpus = 1
    """CPUs of each worker"""
    memory: Memory = 2560
    """MB of each worker, at least 768 with Kubernetes"""


class Names(Section):
    """Names of the machines, which are host and node names too."""

    control_plane: Label = "m-k8s"
    """name of the control plane"""
    worker: WorkerPattern = "w{i}-k8s"
    """name of worker i = 1..N, with {i} in the place of the number"""
    suffix: Plain = ""
    """appended to the name that VirtualBox shows"""


class Book(Section):
    """What only the profile `book` knows."""

    root_password: Password | None = None
    """root's password, with which a node asks another (`scp root@192.168.1.10:...`); not let in from anywhere else"""


class VagrantBox(Section):
    """The Vagrant box of virtual machines, in the place of the guest's own."""

    name: BoxName | None = None
    """name as Vagrant has it, such as `bento/debian-12`"""
    version: BoxVersion | None = None
    """version of the box in a Vagrant registry; without `url`"""
    url: Url | None = None
    """where its file is, with its `sha256`"""
    sha256: Sha256 | None = None
    """sum of that file"""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if any((self.version, self.url, self.sha256)) and not self.name:
            raise refusal("the box has no name", "add `name`: what Vagrant is to call it")
        if self.url and not self.sha256:
            what = "the box at a URL has no sum"
            raise refusal(what, "add its publisher's `sha256`, or take it in by labctl box import URL and name no box")
        if self.name and bool(self.version) == bool(self.url):
            raise refusal("the box is named by nothing, or twice", "give its `version`, or its `url` and `sha256`")
        return self


class VirtualBox(Section):
    """Settings that only VirtualBox knows."""

    group: Plain | None = None
    """VirtualBox group; default `/` and the lab's name"""


class Static(Section):
    """Machines that you have already, for the provider `static`."""

    hosts: tuple[StaticHost, ...] = Field((), max_length=200)
    """`USER@ADDRESS[:PORT] FINGERPRINT` of each machine, control plane first; the user has sudo"""
    key: File | None = None
    """private key that lets this host in the first time; default: your SSH agent and keys"""
    gateway: Address | None = None
    """this host's address as the machines reach it; default: the subnet's first address"""
    shared_kernel: bool = False
    """the machines are containers: swap, modules and SELinux are their host's and left alone"""


class Mirror(Section):
    """A company's copy of what the community publishes, under other addresses."""

    url: Url | None = None
    """base URL of all of it: each host lies below its own name, such as URL/pkgs.k8s.io"""
    hosts: dict[Host, Url] = {}
    """URLs of single hosts, such as `registry.k8s.io: https://registry.example/k8s`"""
    keys: dict[Literal["kubernetes", "docker"], Fingerprint] = {}
    """fingerprints of the keys that sign its repositories, where it signs them anew"""
    ca: File | None = None
    """file with the certificates to trust there; default: those of this host"""
    netrc: File | None = None
    """file with logins, as in ~/.netrc; nobody else should be able to read it"""


class Mount(Section):
    """A folder of this host in nodes."""

    host: HostPath
    """folder of this host, relative to lab.yml; virtual machines get a copy, which `labctl provision` refreshes"""
    node: NodePath
    """where it is in the nodes, an absolute path"""
    nodes: Annotated[tuple[Label, ...] | None, Field(min_length=1, max_length=200)] = None
    """names of the nodes; default: all"""
    writable: bool = False
    """nodes may write into it: container nodes only"""


class Forward(Section):
    """A TCP port of a node on this host."""

    node: Label | None = None
    """name of the node; default: the control plane"""
    port: NodePort
    """port of the node, such as a NodePort"""
    host: Port
    """port of this host that leads there"""
    address: Address = "127.0.0.1"
    """address of this host that listens; 0.0.0.0 lets everybody in who reaches this host"""


class Packages(Section):
    """Where packages and images come from."""

    source: Literal["auto", "bundle", LabOrigin] = "auto"
    """`auto`: a bundle that fits, else community, else one built; `bundle`: from the cache; `system`: no Kubernetes"""
    mirror: Mirror = Mirror()
    """the mirror, for `source: mirror`"""
    base: Annotated[tuple[Package, ...] | None, Field(max_length=200)] = None
    """packages every machine gets; default: the list of its system's family"""
    checksums: dict[str, Sha256] = {}
    """sha256 sums you confirm for artefacts the catalog has none for, such as `cri-dockerd-0.3.26`"""
    signed_by: File | None = None
    """file with the public SSH key that must have signed the bundle (`labctl bundle sign`); default: no key"""


class Lab(Section):
    """A lab as lab.yml describes it; every key has a default."""

    version: int = Field(1, ge=1, le=1)
    """version of this format"""
    name: Label = "k8s-lab"
    """the lab's name, a DNS label"""
    profile: Literal["book", "book-2", "bare", "modern", "teaching", "offline"] = "modern"
    """a named set of values that lab.yml then changes"""
    provider: Literal["auto", ProviderName] = "auto"
    """what makes the machines; `auto` is the first that this host has"""
    guest: str = Field("debian-12", max_length=60)
    """system of the machines; `labctl catalog` lists them"""
    login: Literal["user", "root"] = "user"
    """who `labctl ssh`, `exec`, `cp`, `console` and `export` are on the nodes; `user` may become root by sudo"""
    kubernetes: Kubernetes = Kubernetes()
    """the cluster"""
    network: LabNetwork = LabNetwork()
    """the machines' network"""
    control_plane: ControlPlane = ControlPlane()
    """the control plane's machine"""
    workers: Workers = Workers()
    """the workers"""
    names: Names = Names()
    """names of the machines"""
    book: Book = Book()
    """what only the profile `book` knows"""
    box: VagrantBox = VagrantBox()
    """the Vagrant box of virtual machines"""
    virtualbox: VirtualBox = VirtualBox()
    """settings of VirtualBox"""
    static: Static = Static()
    """machines that are there already"""
    packages: Packages = Packages()
    """package source"""
    registry: bool = False
    """whether the control plane runs an image registry that all nodes ask first (`labctl image`)"""
    http_proxy: Url | None = None
    """HTTP proxy that the machines use"""
    ca: File | None = None
    """PEM file with a company's CA certificate that the machines trust"""
    mounts: Annotated[tuple[Mount, ...], Field(max_length=50)] = ()
    """folders of this host in the nodes, read-only, each as {host: ./data, node: /data}"""
    ports: Annotated[tuple[Forward, ...], Field(max_length=100)] = ()
    """ports of nodes on this host, each as {port: 30080, host: 8080}: 127.0.0.1:8080 leads to the control plane"""

    @property
    def listed(self) -> Static | None:
        """The section that lists the machines; None for a provider that makes them."""
        section = getattr(self, self.provider, None)
        return section if isinstance(section, Static) else None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yml, for editors."""
    schema = Lab.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "labctl/lab/v1", **schema}
