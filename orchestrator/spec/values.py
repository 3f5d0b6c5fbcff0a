"""The types of lab.yml's values: what a single value must be, and how a wrong one is refused."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

# kubeadm refuses a control plane with less (its preflight checks NumCPU and Mem).
KUBEADM_CPUS = 2
KUBEADM_MEMORY = 1700
# Kubelet, runtime and kube-proxy of one worker fit into it with room for a few small pods.
WORKER_MEMORY = 768
# A Debian with systemd and sshd and nothing else.
MACHINE_MEMORY = 256

MIRROR_EXAMPLE = "packages: {source: mirror, mirror: {url: https://mirror.example}}"

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_PART = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_VERSION = re.compile(r"1\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?")
STATIC_HOST = re.compile(
    r"(?P<user>[a-z_][a-z0-9_-]{0,31})@(?P<address>\d+(\.\d+){3})(:(?P<port>\d{1,5}))? "
    r"(?P<fingerprint>SHA256:[A-Za-z0-9+/]{43})"
)


def refusal(what: str, fix: str) -> PydanticCustomError:
    """Why a value is refused, for a validator to raise."""
    # Braces would be taken for placeholders of pydantic's message template.
    return PydanticCustomError("labctl", "{what}", {"what": what, "fix": fix})


def _matching(pattern: str, kind: str, fix: str, longest: int = 1000) -> AfterValidator:
    """The validator of a text that has the form of a pattern."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > longest or not compiled.fullmatch(value):
            raise refusal(f"{value[:60]!r} is not {kind}", fix)
        return value

    return AfterValidator(check)


def _worker_pattern(value: str) -> str:
    name = value.replace("{i}", "1")
    if value.count("{i}") != 1 or len(value) > 40 or not re.fullmatch(_DNS_LABEL, name):
        raise refusal(f"{value[:60]!r} is not a host name with one {{i}} in it", "for example `w{i}-k8s`")
    return value


def _version(value: str) -> str:
    if value in ("auto", "oldest") or _VERSION.fullmatch(value):
        return value
    if value.startswith("v") and _VERSION.fullmatch(value[1:]):
        raise refusal(f"{value!r} starts with a v", f'write "{value[1:]}"')
    raise refusal(f"{value[:40]!r} is not a Kubernetes version", 'write `auto`, `oldest`, "1.36" or "1.20.2"')


def _network(value: str) -> str:
    example = "for example 192.168.56.0/24"
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError as error:
        raise refusal(f"{value[:60]!r} is not an IPv4 network ({error})"[:200], example) from None
    if value.partition("/")[0] != str(network.network_address):
        raise refusal(f"{value} has host bits set", f"write {network}")
    if not 8 <= network.prefixlen <= 29 or network.is_loopback or network.is_multicast or network.is_link_local:
        raise refusal(f"{value} cannot be used for a lab (a private network, /8 to /29)", example)
    return str(network)


def _subnet(value: str) -> str:
    return value if value == "auto" else _network(value)


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise refusal(f"{value[:60]!r} is not an IPv4 address", "for example 1.1.1.1") from None


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or not value.isprintable() or " " in value:
        raise refusal(f"{value[:60]!r} is not an http or https URL", "for example http://mirror.example:8080/lab")
    return value.rstrip("/")


def _plain(value: str) -> str:
    # Ends up in VirtualBox's command line and in generated files.
    if not value.isprintable() or any(character in value for character in "\"'\\`$") or len(value) > 120:
        raise refusal("has a quote, backslash, dollar or control character, or is too long", "leave them out")
    return value


def _static_host(value: str) -> str:
    host = STATIC_HOST.fullmatch(value)
    if not host or not 0 < int(host["port"] or 22) < 65536:
        raise refusal(
            f"{value[:80]!r} is not `USER@ADDRESS[:PORT] FINGERPRINT`",
            "take the fingerprint from the machine's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    _address(host["address"])
    return value


def _host_path(value: str) -> str:
    if not value or not value.isprintable():
        raise refusal("is empty or has a control character", "write a folder of this host, such as ./data")
    return value


def _node_path(value: str) -> str:
    parts = value.split("/")[1:]
    if not value.startswith("/"):
        raise refusal(f"{value[:60]!r} is not an absolute path", f"write /{value[:60].lstrip('./~')}")
    if (
        len(value) > 200
        or value == "/"
        or not all(re.fullmatch(r"(?!\.\.?$)[A-Za-z0-9._+@-]+", part) for part in parts)
    ):
        what = f"{value[:60]!r} cannot be a mount's place: letters, digits, and . _ + @ - between single slashes"
        raise refusal(what, "for example /data")
    return value


def _password(value: SecretStr) -> SecretStr:
    # Said without the value. The characters are those that YAML, and what redacts a support archive, take as one word.
    if not 6 <= len(value) <= 64:
        raise refusal("is shorter than 6 or longer than 64 characters", "write another password, in quotes")
    if not re.fullmatch(r"[A-Za-z0-9!#%&()*+./:;<=>?@^_~-]+", value.get_secret_value()):
        what = "has a character that a password here may not have"
        raise refusal(what, "write letters, digits and !#%&()*+./:;<=>?@^_~- only, in quotes")
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
_is_host = _matching(
    rf"{_DNS_PART}(\.{_DNS_PART})+", "a host of the community", "for example registry.k8s.io", longest=200
)
_is_fingerprint = _matching(
    r"[0-9A-F]{40}", "a key's fingerprint (40 upper-case hexadecimal digits)", "take it from `gpg --show-keys FILE`"
)

_is_box_name = _matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?",
    "the name of a Vagrant box",
    "for example bento/debian-12",
    longest=120,
)
_is_box_version = _matching(
    r"[0-9]+(\.[0-9A-Za-z]+)*(-[0-9A-Za-z.]+)?", "the version of a Vagrant box", 'for example "202510.26.0"', longest=40
)

Label = Annotated[str, _is_label]
Password = Annotated[SecretStr, AfterValidator(_password)]
Domain = Annotated[str, _is_domain]
Registry = Annotated[str, _is_registry]
Package = Annotated[str, _is_package]
Sha256 = Annotated[str, _is_sha256]
Host = Annotated[str, _is_host]
BoxName = Annotated[str, _is_box_name]
BoxVersion = Annotated[str, _is_box_version]
Fingerprint = Annotated[str, _is_fingerprint]
Network = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]
Plain = Annotated[str, AfterValidator(_plain)]
File = Annotated[str, Field(max_length=1000)]
Cpus = Annotated[int, Field(ge=1, le=256)]
Memory = Annotated[int, Field(ge=MACHINE_MEMORY, le=4_194_304)]
Port = Annotated[int, Field(ge=1024, le=65535)]
Subnet = Annotated[str, AfterValidator(_subnet)]
Version = Annotated[str, AfterValidator(_version)]
WorkerPattern = Annotated[str, AfterValidator(_worker_pattern)]
StaticHost = Annotated[str, AfterValidator(_static_host)]
HostPath = Annotated[str, Field(max_length=1000), AfterValidator(_host_path)]
NodePath = Annotated[str, AfterValidator(_node_path)]
NodePort = Annotated[int, Field(ge=1, le=65535)]
