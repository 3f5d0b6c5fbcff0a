"""The model of lab.yml: every key, its type, its default, and what a single value must be."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from orchestrator.model import ProviderName

# kubeadm refuses a control plane with less (its preflight checks NumCPU and Mem).
KUBEADM_CPUS = 2
KUBEADM_MEMORY = 1700
# Kubelet, runtime and kube-proxy of one worker fit into it with room for a few small pods.
WORKER_MEMORY = 768
# A Debian with systemd and sshd and nothing else.
MACHINE_MEMORY = 256

MIRROR_EXAMPLE = "packages: {source: mirror, mirror: {url: http://mirror.example/lab}}"

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_PART = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_VERSION = re.compile(r"1\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?")
STATIC_HOST = re.compile(
    r"(?P<user>[a-z_][a-z0-9_-]{0,31})@(?P<address>\d+(\.\d+){3})(:(?P<port>\d{1,5}))? "
    r"(?P<fingerprint>SHA256:[A-Za-z0-9+/]{43})"
)


def _refuse(what: str, fix: str) -> PydanticCustomError:
    # Braces would be taken for placeholders of pydantic's message template.
    return PydanticCustomError("labctl", "{what}", {"what": what, "fix": fix})


def _matching(pattern: str, kind: str, fix: str, longest: int = 1000) -> AfterValidator:
    """The validator of a text that has the form of a pattern."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > longest or not compiled.fullmatch(value):
            raise _refuse(f"{value[:60]!r} is not {kind}", fix)
        return value

    return AfterValidator(check)


def _worker_pattern(value: str) -> str:
    name = value.replace("{i}", "1")
    if value.count("{i}") != 1 or len(value) > 40 or not re.fullmatch(_DNS_LABEL, name):
        raise _refuse(f"{value[:60]!r} is not a host name with one {{i}} in it", "for example `w{i}-k8s`")
    return value


def _version(value: str) -> str:
    if value in ("auto", "oldest") or _VERSION.fullmatch(value):
        return value
    if value.startswith("v") and _VERSION.fullmatch(value[1:]):
        raise _refuse(f"{value!r} starts with a v", f'write "{value[1:]}"')
    raise _refuse(f"{value[:40]!r} is not a Kubernetes version", 'write `auto`, `oldest`, "1.36" or "1.20.2"')


def _network(value: str) -> str:
    example = "for example 192.168.56.0/24"
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError as error:
        raise _refuse(f"{value[:60]!r} is not an IPv4 network ({error})"[:200], example) from None
    if value.partition("/")[0] != str(network.network_address):
        raise _refuse(f"{value} has host bits set", f"write {network}")
    if not 8 <= network.prefixlen <= 29 or network.is_loopback or network.is_multicast or network.is_link_local:
        raise _refuse(f"{value} cannot be used for a lab (a private network, /8 to /29)", example)
    return str(network)


def _subnet(value: str) -> str:
    return value if value == "auto" else _network(value)


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise _refuse(f"{value[:60]!r} is not an IPv4 address", "for example 1.1.1.1") from None


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or not value.isprintable() or " " in value:
        raise _refuse(f"{value[:60]!r} is not an http or https URL", "for example http://mirror.example:8080/lab")
    return value.rstrip("/")


def _plain(value: str) -> str:
    # Ends up in VirtualBox's command line and in generated files.
    if not value.isprintable() or any(character in value for character in "\"'\\`$") or len(value) > 120:
        raise _refuse("has a quote, backslash, dollar or control character, or is too long", "leave them out")
    return value


def _static_host(value: str) -> str:
    host = STATIC_HOST.fullmatch(value)
    if not host or not 0 < int(host["port"] or 22) < 65536:
        raise _refuse(
            f"{value[:80]!r} is not `USER@ADDRESS[:PORT] FINGERPRINT`",
            "take the fingerprint from the machine's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    _address(host["address"])
    return value


_is_label = _matching(
    _DNS_LABEL, "a DNS label (lower-case letters, digits and hyphens, at most 40)", "for example `k8s-lab`", longest=40
)
_is_domain = _matching(rf"{_DNS_PART}(\.{_DNS_PART})*", "a DNS domain", "for example `cluster.local`", longest=200)
_is_registry = _matching(
    r"[a-z0-9]([a-z0-9._-]*)(:\d{1,5})?(/[a-z0-9._-]+)*",
    "an image registry prefix",
    "for example registry.k8s.io (no https://)",
)
_is_package = _matching(r"[A-Za-z0-9][A-Za-z0-9+._:@-]{0,79}", "a package name", "for example vim")
_is_sha256 = _matching(
    r"[0-9a-f]{64}", "a sha256 sum (64 lower-case hexadecimal digits)", "take it from `sha256sum FILE`"
)

Label = Annotated[str, _is_label]
Domain = Annotated[str, _is_domain]
Registry = Annotated[str, _is_registry]
Package = Annotated[str, _is_package]
Sha256 = Annotated[str, _is_sha256]
Network = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]
Plain = Annotated[str, AfterValidator(_plain)]
File = Annotated[str, Field(max_length=1000)]
Cpus = Annotated[int, Field(ge=1, le=256)]
Memory = Annotated[int, Field(ge=MACHINE_MEMORY, le=4_194_304)]
Port = Annotated[int, Field(ge=1024, le=65535)]


class Section(BaseModel):
    """One block of lab.yml: no unknown keys, no conversion of types, no change after loading.

    The text below a key is its description in the reference and the JSON Schema.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class Kubernetes(Section):
    """The cluster itself."""

    enabled: bool = True
    """false: machines only, as in the profile `bare`"""
    version: Annotated[str, AfterValidator(_version)] = "auto"
    """`auto` (newest the package source has and the machines can run), `oldest`, "1.36" or "1.20.2\""""
    runtime: Literal["docker", "containerd"] = "docker"
    """container runtime; a default gives way to containerd where Docker cannot work"""
    cni: Literal["auto", "calico", "bridge_cni"] = "auto"
    """pod network; `auto` is Calico when its images can be had, else bridge_cni"""
    dns: Literal["auto", "coredns", "dnsmasq"] = "auto"
    """cluster DNS; `auto` is CoreDNS when its image can be had, else dnsmasq"""
    pod_cidr: Network = "172.16.0.0/16"
    """addresses of pods"""
    service_cidr: Network = "10.96.0.0/12"
    """addresses of Services"""
    image_registry: Registry | None = None
    """prefix of the control plane's images; default registry.k8s.io, or the mirror's"""
    api_port: Port | None = None
    """port on 127.0.0.1 that leads to the API server; default 60443"""


class LabNetwork(Section):
    """The network that the machines share with this host."""

    subnet: Annotated[str, AfterValidator(_subnet)] = "192.168.56.0/24"
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
    worker: Annotated[str, AfterValidator(_worker_pattern)] = "w{i}-k8s"
    """name of worker i = 1..N, with {i} in the place of the number"""
    suffix: Plain = ""
    """appended to the name that VirtualBox shows"""


class VirtualBox(Section):
    """Settings that only VirtualBox knows."""

    group: Plain | None = None
    """VirtualBox group; default `/` and the lab's name"""


class Static(Section):
    """Machines that you have already, for the provider `static`."""

    hosts: tuple[Annotated[str, AfterValidator(_static_host)], ...] = Field((), max_length=200)
    """`USER@ADDRESS[:PORT] FINGERPRINT` of each machine, control plane first; the user has sudo"""
    key: File | None = None
    """private key that lets this host in the first time; default: your SSH agent and keys"""
    gateway: Address | None = None
    """this host's address as the machines reach it; default: the subnet's first address"""
    shared_kernel: bool = False
    """the machines are containers: swap, modules and SELinux are their host's and left alone"""


class Mirror(Section):
    """A place with the same layout as a bundle."""

    url: Url | None = None
    """base URL of the mirror"""
    key_url: Url | None = None
    """its signing key; default URL/key.asc"""
    image_registry: Registry | None = None
    """registry prefix that has the images"""
    image_archive_url: Url | None = None
    """image archive; default URL/images.tar without a registry"""


class Packages(Section):
    """Where packages and images come from."""

    source: Literal["auto", "community", "mirror", "bundle"] = "auto"
    """`auto`: a bundle that fits, else community when reachable, else a bundle built here"""
    mirror: Mirror = Mirror()
    """the mirror, for `source: mirror`"""
    base: Annotated[tuple[Package, ...] | None, Field(max_length=200)] = None
    """packages every machine gets; default: the list of its system's family"""
    checksums: dict[str, Sha256] = {}
    """sha256 sums you confirm for artefacts the catalog has none for, such as `calico-3.33.0`"""


class Lab(Section):
    """A lab as lab.yml describes it; every key has a default."""

    version: int = Field(1, ge=1, le=1)
    """version of this format"""
    name: Label = "k8s-lab"
    """the lab's name, a DNS label"""
    profile: Literal["book", "bare", "modern", "offline"] = "modern"
    """a named set of values that lab.yml then changes"""
    provider: Literal["auto", ProviderName] = "auto"
    """what makes the machines; `auto` is the first that this host has"""
    guest: str = Field("debian-12", max_length=60)
    """system of the machines; `labctl catalog` lists them"""
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
    virtualbox: VirtualBox = VirtualBox()
    """settings of VirtualBox"""
    static: Static = Static()
    """machines that are there already"""
    packages: Packages = Packages()
    """package source"""
    http_proxy: Url | None = None
    """HTTP proxy that the machines use"""
    ca: File | None = None
    """PEM file with a company's CA certificate that the machines trust"""

    @property
    def listed(self) -> Static | None:
        """The section that lists the machines; None for a provider that makes them."""
        section = getattr(self, self.provider, None)
        return section if isinstance(section, Static) else None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yml, for editors."""
    schema = Lab.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "labctl/lab/v1", **schema}
