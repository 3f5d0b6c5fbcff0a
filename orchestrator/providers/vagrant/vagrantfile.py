"""Renders the Vagrantfile of a plan: one template for VirtualBox and libvirt, every value quoted for Ruby. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from orchestrator import paths
from orchestrator.box import Box
from orchestrator.model import Plan

TEMPLATE = "Vagrantfile.j2"
SYSTEM_URI = "qemu:///system"
DEFAULT_POOL = "default"
MANAGEMENT_SUBNET = "192.168.121.0/24"
# The plainest 64 bit processor: what every QEMU can emulate and Debian 12 runs on.
EMULATED_CPU = "qemu64"
# What QEMU emulates besides by one helper each, and programs use when it exists.
EMULATED_FEATURES = ("ssse3", "sse4.1", "sse4.2", "popcnt", "aes", "pclmuldq")
# Seconds that Vagrant waits for SSH: an emulated processor needs minutes where a real one needs seconds.
BOOT_SECONDS = {False: 300, True: 900}

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True)
class LibvirtSettings:
    """What only libvirt machines have: emulation without KVM, the storage pool, the network to the outside."""

    emulated: bool = False
    storage_pool: str = DEFAULT_POOL
    management_subnet: str = MANAGEMENT_SUBNET


def ruby(value: str) -> str:
    """A string as a Ruby literal in double quotes, in which nothing is interpolated."""
    plain = "".join(_ESCAPES.get(char, char if char.isprintable() else f"\\u{{{ord(char):x}}}") for char in value)
    for opening in ("#{", "#$", "#@"):
        plain = plain.replace(opening, f"\\{opening}")
    return f'"{plain}"'


def short_id(uuid: str) -> str:
    """The part of a lab's UUID that names of libvirt objects carry."""
    return uuid[:8]


def domain_prefix(name: str, uuid: str) -> str:
    """What stands before a node's name in the name of its libvirt domain."""
    return f"{name}-{short_id(uuid)}-"


def machine_name(plan: Plan, node: str) -> str:
    """The domain of a node; it carries the lab's id, so that labs never meet."""
    return domain_prefix(plan.name, plan.uuid) + node


def network_name(uuid: str) -> str:
    """The libvirt network of a lab's nodes."""
    return f"labctl-{short_id(uuid)}"


def management_name(uuid: str) -> str:
    """The libvirt network through which a lab's machines reach the outside and Vagrant reaches them."""
    return f"labctl-{short_id(uuid)}-nat"


def render(plan: Plan, box: Box, settings: LibvirtSettings | None = None) -> str:
    """The Vagrantfile of a plan whose provider is virtualbox or libvirt."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["ruby"] = ruby
    template = environment.from_string(paths.data(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(_values(plan, box, settings or LibvirtSettings()))


def _values(plan: Plan, box: Box, settings: LibvirtSettings) -> Mapping[str, Any]:
    virtualbox = plan.provider == "virtualbox"
    return {
        "lab": plan.name,
        "uuid": plan.uuid,
        # Percent-encoded: libvirt's XML and VirtualBox's command line take any path then.
        "owner": quote(plan.owner),
        "nodes": plan.nodes,
        "virtualbox": virtualbox,
        "box": box,
        "boot_timeout": BOOT_SECONDS[settings.emulated and not virtualbox],
        "netmask": str(ipaddress.IPv4Network(plan.network.subnet).netmask),
        "gateway": plan.network.gateway,
        "control_plane": plan.control_plane.name,
        "api_port": plan.kubernetes.api_port if plan.kubernetes else None,
        "mounts": plan.mounts,
        "forwards": plan.forwards,
        "group": plan.group,
        "uri": SYSTEM_URI,
        "prefix": domain_prefix(plan.name, plan.uuid),
        "network_name": network_name(plan.uuid),
        "management_name": management_name(plan.uuid),
        "management_subnet": settings.management_subnet,
        "emulated": settings.emulated,
        "cpu_model": EMULATED_CPU,
        "cpu_features": EMULATED_FEATURES,
        "storage_pool": settings.storage_pool,
    }
