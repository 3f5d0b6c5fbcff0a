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

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_VERSION = re.compile(r"1\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?\Z")


def _refuse(what: str, fix: str) -> PydanticCustomError:
    # Braces would be taken for placeholders of pydantic's message template.
    return PydanticCustomError("labctl", "{what}", {"what": what, "fix": fix})


def _label(value: str) -> str:
    if len(value) > 40 or not _DNS_LABEL.match(value):
        raise _refuse(
            f"{value[:60]!r} is not a DNS label (lower-case letters, digits and hyphens, at most 40)",
            "for example `k8s-lab`",
        )
    return value


def _domain(value: str) -> str:
    if len(value) > 200 or not all(len(part) <= 63 and _DNS_LABEL.match(part) for part in value.split(".")):
        raise _refuse(f"{value[:60]!r} is not a DNS domain", "for example `cluster.local`")
    return value


def _worker_pattern(value: str) -> str:
    if value.count("{i}") != 1 or not _DNS_LABEL.match(value.replace("{i}", "1")) or len(value) > 40:
        raise _refuse(f"{value[:60]!r} is not a host name with one {{i}} in it", "for example `w{i}-k8s`")
    return value


def _version(value: str) -> str:
    if value in ("auto", "oldest") or _VERSION.match(value):
        return value
    if value.startswith("v") and _VERSION.match(value[1:]):
        raise _refuse(f"{value!r} starts with a v", f'write "{value[1:]}"')
    raise _refuse(f"{value[:40]!r} is not a Kubernetes version", 'write `auto`, `oldest`, "1.36" or "1.20.2"')


def _network(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value, strict=True)
    except ValueError as error:
        raise _refuse(f"{value[:60]!r} is not an IPv4 network ({error})"[:200], _network_fix(value)) from None
    if not 8 <= network.prefixlen <= 29 or network.is_loopback or network.is_multicast or network.is_link_local:
        raise _refuse(f"{value} cannot be used for a lab (a private network, /8 to /29)", "for example 192.168.56.0/24")
    return str(network)


def _network_fix(value: str) -> str:
    try:
        return f"write {ipaddress.IPv4Network(value, strict=False)}"
    except ValueError:
        return "for example 192.168.56.0/24"


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
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not value.isprintable() or " " in value:
        raise _refuse(f"{value[:60]!r} is not an http or https URL", "for example http://mirror.example:8080/lab")
    return value.rstrip("/")


def _registry(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]*)(:\d{1,5})?(/[a-z0-9._-]+)*", value):
        raise _refuse(f"{value[:60]!r} is not an image registry prefix", "for example registry.k8s.io (no https://)")
    return value


def _plain(value: str) -> str:
    # Ends up in VirtualBox's command line and in generated files.
    if not value.isprintable() or any(character in value for character in "\"'\\`$") or len(value) > 120:
        raise _refuse(
            "has a quote, a backslash, a dollar or a control character in it, or is too long", "leave them out"
        )
    return value


def _package(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._:@-]{0,79}", value):
        raise _refuse(f"{value[:60]!r} is not a package name", "for example vim")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise _refuse("is not a sha256 sum (64 lower-case hexadecimal digits)", "take it from `sha256sum FILE`")
    return value


STATIC_HOST = re.compile(
    r"(?P<user>[a-z_][a-z0-9_-]{0,31})@(?P<address>\d+(\.\d+){3})(:(?P<port>\d{1,5}))? "
    r"(?P<fingerprint>SHA256:[A-Za-z0-9+/]{43})"
)


def _static_host(value: str) -> str:
    found = STATIC_HOST.fullmatch(value)
    if not found or not 0 < int(found["port"] or 22) < 65536:
        raise _refuse(
            f"{value[:80]!r} is not `USER@ADDRESS[:PORT] FINGERPRINT`",
            "take the fingerprint from the machine's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    _address(found["address"])
    return value


Label = Annotated[str, AfterValidator(_label)]
Network = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]
Registry = Annotated[str, AfterValidator(_registry)]
Plain = Annotated[str, AfterValidator(_plain)]
Cpus = Annotated[int, Field(ge=1, le=256)]
Memory = Annotated[int, Field(ge=MACHINE_MEMORY, le=4_194_304)]
Port = Annotated[int, Field(ge=1024, le=65535)]


class Section(BaseModel):
    """One block of lab.yml: no unknown keys, no conversion of types, no change after loading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Kubernetes(Section):
    """The cluster itself."""

    enabled: bool = Field(True, description="false: machines only, as in the profile `bare`")
    version: Annotated[str, AfterValidator(_version)] = Field(
        "auto",
        description='`auto` (newest the package source has and the machines can run), `oldest`, "1.36" or "1.20.2"',
    )
    runtime: Literal["docker", "containerd"] = Field(
        "docker", description="container runtime; a default gives way to containerd where Docker cannot work"
    )
    cni: Literal["auto", "calico", "bridge_cni"] = Field(
        "auto", description="pod network; `auto` is Calico when its images can be had, else bridge_cni"
    )
    dns: Literal["auto", "coredns", "dnsmasq"] = Field(
        "auto", description="cluster DNS; `auto` is CoreDNS when its image can be had, else dnsmasq"
    )
    pod_cidr: Network = Field("172.16.0.0/16", description="addresses of pods")
    service_cidr: Network = Field("10.96.0.0/12", description="addresses of Services")
    image_registry: Registry | None = Field(
        None, description="prefix of the control plane's images; default registry.k8s.io, or the mirror's"
    )
    api_port: Port | None = Field(None, description="port on 127.0.0.1 that leads to the API server; default 60443")


class LabNetwork(Section):
    """The network that the machines share with this host."""

    subnet: Annotated[str, AfterValidator(_subnet)] = Field(
        "192.168.56.0/24", description="network of the machines; `auto` takes the next free /24 of 192.168.56.0/21"
    )
    control_plane_offset: int = Field(
        10, ge=2, description="the control plane's address, counted from the subnet's start"
    )
    worker_offset: int = Field(101, ge=2, description="the first worker's address, counted from the subnet's start")
    ssh_port_base: Port = Field(60010, description="SSH port on 127.0.0.1 = ssh_port_base + last octet - 10")
    resolvers: tuple[Address, ...] = Field(
        (), max_length=3, description="DNS servers of the machines; none: those the provider gives them"
    )
    dns_domain: Annotated[str, AfterValidator(_domain)] = Field("cluster.local", description="the cluster's DNS domain")


class ControlPlane(Section):
    """The control plane's machine; memory in MB."""

    cpus: Cpus = Field(2, description="CPUs; kubeadm needs 2")
    memory: Memory = Field(3072, description=f"MB; kubeadm needs {KUBEADM_MEMORY}")


class Workers(Section):
    """The workers, all alike; memory in MB."""

    count: int = Field(3, ge=0, description="0 is a single-node lab: the control plane takes the work")
    cpus: Cpus = Field(1, description="CPUs of each worker")
    memory: Memory = Field(2560, description=f"MB of each worker, at least {WORKER_MEMORY} with Kubernetes")


class Names(Section):
    """Names of the machines, which are host and node names too."""

    control_plane: Label = Field("m-k8s", description="name of the control plane")
    worker: Annotated[str, AfterValidator(_worker_pattern)] = Field(
        "w{i}-k8s", description="name of worker i = 1..N, with {i} in the place of the number"
    )
    suffix: Plain = Field("", description="appended to the name that VirtualBox shows")


class VirtualBox(Section):
    """Settings that only VirtualBox knows."""

    group: Plain | None = Field(None, description="VirtualBox group; default `/` and the lab's name")


class Static(Section):
    """Machines that you have already, for the provider `static`."""

    hosts: tuple[Annotated[str, AfterValidator(_static_host)], ...] = Field(
        (),
        max_length=200,
        description="`USER@ADDRESS[:PORT] FINGERPRINT` of each machine, control plane first; the user has sudo",
    )
    key: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="private key that lets this host in the first time; default: your SSH agent and keys"
    )
    gateway: Address | None = Field(
        None, description="this host's address as the machines reach it; default: the subnet's first address"
    )
    shared_kernel: bool = Field(
        False, description="the machines are containers: swap, modules and SELinux are their host's and left alone"
    )


class Mirror(Section):
    """A place with the same layout as a bundle."""

    url: Url | None = Field(None, description="base URL of the mirror")
    key_url: Url | None = Field(None, description="its signing key; default URL/key.asc")
    image_registry: Registry | None = Field(None, description="registry prefix that has the images")
    image_archive_url: Url | None = Field(None, description="image archive; default URL/images.tar without a registry")


class Packages(Section):
    """Where packages and images come from."""

    source: Literal["auto", "community", "mirror", "bundle"] = Field(
        "auto", description="`auto`: a bundle that fits, else community when reachable, else a bundle built here"
    )
    mirror: Mirror = Field(Mirror(), description="the mirror, for `source: mirror`")
    base: tuple[Annotated[str, AfterValidator(_package)], ...] | None = Field(
        None, max_length=200, description="packages every machine gets; default: the list of its system's family"
    )
    checksums: dict[str, Annotated[str, AfterValidator(_sha256)]] = Field(
        {}, description="sha256 sums you confirm for artefacts the catalog has none for, such as `calico-3.33.0`"
    )


class Lab(Section):
    """A lab as lab.yml describes it; every key has a default."""

    version: int = Field(1, ge=1, le=1, description="version of this format")
    name: Label = Field("k8s-lab", description="the lab's name, a DNS label")
    profile: Literal["book", "bare", "modern", "offline"] = Field(
        "modern", description="a named set of values that lab.yml then changes"
    )
    provider: Literal["auto", ProviderName] = Field(
        "auto", description="what makes the machines; `auto` is the first that this host has"
    )
    guest: str = Field("debian-12", max_length=60, description="system of the machines; `labctl catalog` lists them")
    kubernetes: Kubernetes = Field(Kubernetes(), description="the cluster")
    network: LabNetwork = Field(LabNetwork(), description="the machines' network")
    control_plane: ControlPlane = Field(ControlPlane(), description="the control plane's machine")
    workers: Workers = Field(Workers(), description="the workers")
    names: Names = Field(Names(), description="names of the machines")
    virtualbox: VirtualBox = Field(VirtualBox(), description="settings of VirtualBox")
    static: Static = Field(Static(), description="machines that are there already")
    packages: Packages = Field(Packages(), description="package source")
    http_proxy: Url | None = Field(None, description="HTTP proxy that the machines use")
    ca: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="PEM file with a company's CA certificate that the machines shall trust"
    )

    @property
    def listed(self) -> Static | None:
        """The section that lists the machines; None for a provider that makes them."""
        section = getattr(self, self.provider, None)
        return section if isinstance(section, Static) else None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yml, for editors."""
    schema = Lab.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "labctl/lab/v1", **schema}
