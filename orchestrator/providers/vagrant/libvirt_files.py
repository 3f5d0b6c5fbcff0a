"""What libvirt's XML and this host's files say: KVM, machines by their description, the subnets of networks."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant.hypervisor import Machine, MachineState

DEFINITIONS = Path("/etc/libvirt/qemu")
NAMESPACE = "urn:labctl:machine"
_KVM_CREATE_VM = 0xAE01


def has_kvm() -> bool:
    """Whether this user can make machines that run on the processor itself.

    Both are checked: /dev/kvm may make a machine that then stops with "KVM internal error" at its first odd
    instruction, where the processor this host sees (itself a virtual one) has neither vmx nor svm.
    """
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
        if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.MULTILINE):
            return False
        with Path("/dev/kvm").open("rb+", buffering=0) as device:
            os.close(fcntl.ioctl(device, _KVM_CREATE_VM, 0))
        return True
    return False


def identity_of(description: str) -> tuple[LabIdentity, str] | None:
    """The lab and the node that a domain's description names; None for a domain of somebody else."""
    words = description.strip().split(" ")
    if words[0] != "labctl":
        return None
    fields = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    if not {"uuid", "lab", "node", "owner"} <= fields.keys():
        return None
    return LabIdentity(fields["lab"], fields["uuid"], unquote(fields["owner"])), fields["node"]


def machine_of(text: str, state: MachineState) -> Machine | None:
    """A domain's XML as a machine; None for a domain of somebody else."""
    root = ET.fromstring(text)
    found = identity_of(root.findtext("description") or "")
    if found is None:
        return None
    keys = root.findall(f"metadata/{{{NAMESPACE}}}machine/{{{NAMESPACE}}}host-key")
    return Machine(
        id=root.findtext("uuid") or "",
        node=found[1],
        lab=found[0],
        state=state,
        cpus=int(root.findtext("vcpu") or 0),
        memory=int(root.findtext("memory") or 0) // 1024,
        host_keys=tuple((key.text or "").strip() for key in keys),
    )


def dormant_machines() -> Iterator[Machine | None]:
    """The machines in libvirt's own files."""
    for file in sorted(DEFINITIONS.glob("*.xml")):
        with contextlib.suppress(OSError, ET.ParseError):
            yield machine_of(file.read_text(encoding="utf-8"), "stopped")


def subnet_of(network: str) -> ipaddress.IPv4Network | None:
    """The subnet in a network's XML."""
    ip = ET.fromstring(network).find("ip[@netmask]")
    if ip is None:
        return None
    return ipaddress.IPv4Interface(f"{ip.get('address')}/{ip.get('netmask')}").network
