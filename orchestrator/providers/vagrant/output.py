"""Reads what `vagrant --machine-readable` prints: progress as typed steps, failures as words with a fix."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.errors import ProviderError
from orchestrator.events import Step

# What Vagrant says on its way, in the order it happens; the first that matches names the step.
_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"Box '.*' could not be found|Adding box|Downloading|Unpacking", "fetch the box"),
        (r"Uploading base box|Importing base box|Preparing master VM|Cloning VM|Creating image", "import the box"),
        (r"Creating domain|Creating shared|Setting the name|Matching MAC|Generating MAC", "create the machine"),
        (r"Preparing network|Forwarding ports|Creating network|network interfaces", "prepare its networks"),
        (r"Booting VM|Starting domain|Running 'pre-boot'", "boot the machine"),
        (r"Waiting for (machine|domain)|Machine booted|SSH (address|username|auth)", "wait for SSH"),
        (r"insecure key|generated public key|Key inserted", "insert its key"),
        (r"Setting hostname", "set its host name"),
        (r"Configuring and enabling network", "set its address"),
        (r"Attempting graceful|Halting|shutdown|Forcing shutdown", "stop the machine"),
        (r"Removing domain|Destroying VM|Discarding", "remove the machine"),
    )
)
# Frames around the one line that names the cause, and Ruby's backtrace.
_NOISE = re.compile(
    r"^==> |^An error occurred|^Any errors that occurred|^An unexpected error|machine\. Please report|^/.*:\d+:in "
)
LOAD_VIRTUALBOX_DRIVER = "sudo modprobe vboxdrv   (where it was never built: sudo /sbin/vboxconfig)"
_PERCENT = re.compile(r"(\d{1,3})%")


@dataclass(frozen=True)
class Line:
    """One line of machine-readable output: the machine it is about (may be empty), its type, its fields."""

    target: str
    kind: str
    data: tuple[str, ...]


# How a failure that people meet reads, what it means, and its fix.
_KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), cause, fix)
    for pattern, cause, fix in (
        (
            r"another process is already executing an action|machine is locked|VERR_.*LOCKED",
            "another Vagrant is working on this machine and holds its lock",
            "wait for it to end (ps aux | grep vagrant), then run this again",
        ),
        (
            r"Kernel driver not installed|VERR_VM_DRIVER_NOT_INSTALLED|suplibOsInit",
            "VirtualBox's kernel driver is not loaded",
            LOAD_VIRTUALBOX_DRIVER,
        ),
        (
            r"VERR_VMX_IN_VMX_ROOT_MODE|VERR_SVM_IN_USE",
            "KVM holds the processor's virtualization",
            "end KVM's machines and sudo modprobe -r kvm_intel (or kvm_amd); `labctl doctor` says how for good",
        ),
        (
            r"VT-x is (not available|disabled)|AMD-V|VERR_VMX|VERR_SVM|hardware virtualization",
            "the processor's virtualization (VT-x or AMD-V) is off or taken by another hypervisor",
            "switch it on in the firmware (BIOS), end other hypervisors, or use provider: container",
        ),
        (
            r"No space left on device|VERR_DISK_FULL|not enough (disk )?space",
            "the disk is full",
            "free space there, then run this again: it continues",
        ),
        (
            r"host-only.*E_ACCESSDENIED|not within the\s+allowed ranges",
            "VirtualBox does not allow this host-only range",
            "add the line `* SUBNET` (network.subnet of lab.yml) to /etc/vbox/networks.conf",
        ),
        (
            r"forwarded port to (\d+) is already in use|cannot forward the specified ports",
            "a port that the machine's forward needs is taken",
            "end the program that has it, or set network.ssh_port_base or kubernetes.api_port in lab.yml",
        ),
        (
            r"name already exists|domain about to create is already taken|VERR_ALREADY_EXISTS",
            "a machine of this name exists that is not of this lab; it is left alone",
            "rename or remove it, or set names.suffix (VirtualBox) in lab.yml",
        ),
        (
            r"Timed out while waiting for the machine to boot|timed out.*SSH",
            "it started but did not answer on SSH in time",
            "labctl provision   (a second run looks again and repairs)",
        ),
        (
            r"checksum of the downloaded box did not match",
            "the box file is not the one whose sha256 was confirmed",
            "labctl box import FILE --guest GUEST --sha256 SUM, with the right file",
        ),
        (
            r"box '[^']*' could not be found|accessed in the remote catalog|error occurred while downloading",
            "the box cannot be fetched",
            "labctl box import FILE --guest GUEST --sha256 SUM, or labctl box build",
        ),
        (
            r"provider '(\w+)' could not be found|provider .* usable",
            "Vagrant has no plugin for this provider",
            "apt-get install vagrant-libvirt   (or: vagrant plugin install vagrant-libvirt)",
        ),
        (
            r"Failed to connect (?:to )?.*libvirt|Call to virConnectOpen failed|libvirt-sock",
            "libvirt does not answer",
            "systemctl start libvirtd; and be in the group libvirt",
        ),
        (
            r"Interface .* is in use|Network .* overlaps|already in use by interface",
            "its network overlaps one of this host",
            "set network.subnet in lab.yml to another range",
        ),
    )
)


def parse(line: str) -> Line | None:
    """A line of machine-readable output; None for anything else."""
    parts = line.split(",")
    if len(parts) < 3 or not parts[0].isdigit():
        return None
    return Line(parts[1], parts[2], tuple(_plain(part) for part in parts[3:]))


def _plain(field: str) -> str:
    return field.replace("%!(VAGRANT_COMMA)", ",").replace("\\n", "\n").replace("\\r", "\r")


class Reader:
    """Turns lines into steps of one phase and remembers what went wrong; `nodes` are the machines of the lab."""

    def __init__(self, phase: str, nodes: Collection[str]) -> None:
        self._phase = phase
        self._nodes = nodes
        self._last: dict[str, Step] = {}
        self.errors: list[str] = []
        self.failed_node = ""

    def step(self, line: str) -> Step | None:
        """The step a line begins or moves on; None when it says nothing new."""
        found = parse(line)
        if found is None:
            return None
        if found.kind == "error-exit":
            self.errors.append(found.data[-1] if found.data else "")
            return None
        if found.kind != "ui" or len(found.data) < 2:
            return None
        level, text = found.data[0], found.data[1]
        node = found.target if found.target in self._nodes else next((n for n in self._nodes if f"{n}: " in text), "")
        if level == "error":
            self.errors.append(text)
            self.failed_node = node or self.failed_node
            return None
        name = next((name for pattern, name in _STEPS if pattern.search(text)), "")
        if not name:
            return None
        percent = _PERCENT.search(text)
        made = Step(phase=self._phase, node=node, name=name, status="running", detail=percent[0] if percent else "")
        last = self._last.get(node)
        if last is not None and (last.name, last.detail) == (made.name, made.detail):
            return None
        self._last[node] = made
        return made

    def last(self, node: str) -> str:
        """The name of the step a node was in."""
        step = self._last.get(node)
        return step.name if step else ""


def failure(verb: str, text: str, node: str = "") -> ProviderError:
    """Vagrant's failure as cause and fix; an unknown failure in Vagrant's own first words."""
    where = node or "the machines"
    for pattern, cause, fix in _KNOWN:
        if pattern.search(text):
            return ProviderError(f"{where}: {verb} failed: {cause}", fix=fix)
    words = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.search(line)]
    reason = " ".join(dict.fromkeys(words))[:400] or "Vagrant gave no reason"
    return ProviderError(f"{where}: {verb} failed: {reason}", fix="labctl provision   (a second run continues)")


def snapshot_names(listing: str) -> list[str]:
    """The names in the machine-readable output of `vagrant snapshot list`; Vagrant prints them as detail lines."""
    lines = filter(None, map(parse, listing.splitlines()))
    details = (line.data[-1] for line in lines if line.kind == "ui" and line.data[:1] in (("detail",), ("output",)))
    names = (text.rpartition(": ")[2].strip() for text in details)
    return [name for name in names if name and not name.startswith("==>")]
