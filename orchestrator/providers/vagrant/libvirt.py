"""libvirt seen without Vagrant, through virsh: machines by the identity in their description, networks, disks, keys."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import ipaddress
import json
import os
import re
import shutil
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from orchestrator import host, proc
from orchestrator.errors import HostError, Problem, ProviderError
from orchestrator.events import Emit
from orchestrator.model import Plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant import libvirt_daemon
from orchestrator.providers.vagrant.hypervisor import Machine, MachineState
from orchestrator.providers.vagrant.vagrantfile import (
    SYSTEM_URI,
    LibvirtSettings,
    domain_prefix,
    management_name,
    network_name,
)

POOL = "labctl"
POOL_PATH = Path("/var/lib/libvirt/images/labctl")
DEFINITIONS = Path("/etc/libvirt/qemu")
NAMESPACE = "urn:labctl:machine"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
# Where the networks to the outside are taken from: vagrant-libvirt's own default range and those after it.
MANAGEMENT_POOL = [ipaddress.IPv4Network(f"192.168.{third}.0/24") for third in range(121, 141)]
_KVM_CREATE_VM = 0xAE01


def kvm() -> bool:
    """Whether this user can make machines that run on the processor itself.

    Both are asked: /dev/kvm may make a machine that then stops with "KVM internal error" at its first odd
    instruction, where the processor this host sees (itself a virtual one) has neither vmx nor svm.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.MULTILINE):
        return False
    try:
        descriptor = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(descriptor, _KVM_CREATE_VM, 0))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


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
    memory = root.find("memory")
    kib = int(memory.text or 0) if memory is not None else 0
    return Machine(
        id=root.findtext("uuid") or "",
        node=found[1],
        lab=found[0],
        state=state,
        cpus=int(root.findtext("vcpu") or 0),
        memory=kib // 1024,
        host_keys=tuple((key.text or "").strip() for key in keys),
    )


class Libvirt:
    """The libvirt of this host, `qemu:///system`."""

    def __init__(self) -> None:
        self._use: int | None = None

    def open(self, emit: Emit, phase: str) -> None:
        """Make sure that libvirt answers and that the pool of labctl's disks is there, and keep it so until `close`."""
        if self._use is None:
            self._use = libvirt_daemon.use()
        if not self.answers():
            libvirt_daemon.start(self.answers, emit, phase, hide_kvm=not kvm())
        self._ensure_pool()

    def answers(self) -> bool:
        """Whether libvirtd can be asked now."""
        try:
            return self._virsh("uri", check=False, timeout=10).ok
        except (FileNotFoundError, ProviderError):
            return False

    def machines(self, uuid: str | None = None) -> list[Machine]:
        """Machines by the identity in their description; from libvirt's own files while no daemon runs."""
        if shutil.which("virsh") is None:
            return []
        if not self.answers():
            return self._dormant(uuid)
        running = set(self._names("list", "--state-running", "--name"))
        stopped = set(self._names("list", "--state-shutoff", "--name"))
        found = []
        for name in self._names("list", "--all", "--name"):
            result = self._virsh("dumpxml", "--domain", name, check=False)
            state: MachineState = "running" if name in running else "stopped" if name in stopped else "broken"
            machine = machine_of(result.stdout, state) if result.ok else None
            if machine is not None and uuid in (None, machine.lab.uuid):
                found.append(machine)
        return found

    def _dormant(self, uuid: str | None) -> list[Machine]:
        found = []
        for file in sorted(DEFINITIONS.glob("*.xml")):
            with contextlib.suppress(OSError, ET.ParseError):
                machine = machine_of(file.read_text(encoding="utf-8"), "stopped")
                if machine is not None and uuid in (None, machine.lab.uuid):
                    found.append(machine)
        return found

    def clear(self, plan: Plan) -> list[str]:
        """Remove disks without a machine: a run that ended between the two leaves one, and Vagrant then refuses."""
        made = {f"{name}.img" for name in self._names("list", "--all", "--name")}
        gone = []
        for node in plan.nodes:
            volume = f"{self.machine_name(plan, node.name)}.img"
            if volume not in made and volume in self._volumes():
                self._virsh("vol-delete", "--pool", POOL, volume)
                gone.append(f"disk {volume}")
        return gone

    def machine_name(self, plan: Plan, node: str) -> str:
        """The domain of a node; it carries the lab's id, so that labs never meet."""
        return domain_prefix(plan.name, plan.uuid) + node

    def pin(self, machine: Machine, host_keys: Sequence[str]) -> None:
        """Keep public host keys in the domain's metadata."""
        keys = "".join(f"<host-key>{key}</host-key>" for key in host_keys)
        places = ["--config", *(["--live"] if machine.state == "running" else [])]
        words = ["metadata", "--domain", machine.id, "--uri", NAMESPACE, "--key", "labctl"]
        self._virsh(*words, "--set", f"<machine>{keys}</machine>", *places)

    def host_keys(self, machine: Machine) -> tuple[str, ...]:
        """The machine's public host key through its guest agent; empty when it has none that answers."""
        with contextlib.suppress(ProviderError, KeyError, TypeError, ValueError):
            handle = self._agent(machine, "guest-file-open", path=HOST_KEY)
            try:
                text = base64.b64decode(self._agent(machine, "guest-file-read", handle=handle, count=4096)["buf-b64"])
            finally:
                self._agent(machine, "guest-file-close", handle=handle)
            return (" ".join(text.decode("ascii").split()[:2]),)
        return ()

    def _agent(self, machine: Machine, command: str, **arguments: object) -> dict[str, str]:
        question = json.dumps({"execute": command, "arguments": arguments})
        answer = self._virsh("qemu-agent-command", "--domain", machine.id, "--timeout", "5", question).stdout
        result: dict[str, str] = json.loads(answer)["return"]
        return result

    def emulates(self) -> bool:
        """Where there is no KVM."""
        return not kvm()

    def settings(self, plan: Plan) -> LibvirtSettings:
        """Emulation where there is no KVM; a network to the outside that meets no other."""
        return LibvirtSettings(emulated=not kvm(), storage_pool=POOL, management_subnet=self._management_subnet(plan))

    def _management_subnet(self, plan: Plan) -> str:
        """The subnet the lab's network has already, else the first of the pool that nobody uses."""
        result = self._virsh("net-dumpxml", management_name(plan.uuid), check=False)
        if result.ok:
            ip = ET.fromstring(result.stdout).find("ip")
            if ip is not None:
                return str(ipaddress.IPv4Interface(f"{ip.get('address')}/{ip.get('netmask')}").network)
        taken = [ipaddress.IPv4Network(network.cidr, strict=False) for network in host.networks()]
        taken.append(ipaddress.IPv4Network(plan.network.subnet))
        taken += self._subnets()
        for candidate in MANAGEMENT_POOL:
            if not any(candidate.overlaps(other) for other in taken):
                return str(candidate)
        raise HostError(
            "no network of 192.168.121.0 to 192.168.140.0 is free for the machines' way outside",
            fix="virsh net-list --all, and remove what is not needed (virsh net-undefine NAME)",
        )

    def _subnets(self) -> list[ipaddress.IPv4Network]:
        """Subnets of libvirt's networks, also of those that are not started."""
        found = []
        for name in self._names("net-list", "--all", "--name"):
            ip = ET.fromstring(self._virsh("net-dumpxml", name).stdout).find("ip[@netmask]")
            if ip is not None:
                found.append(ipaddress.IPv4Interface(f"{ip.get('address')}/{ip.get('netmask')}").network)
        return found

    def owns_subnet(self, plan: Plan) -> bool:
        """Whether the lab's network is there already, left by a run that did not end."""
        return self.answers() and network_name(plan.uuid) in self._names("net-list", "--all", "--name")

    def problems(self, plan: Plan) -> list[Problem]:
        """What about libvirt keeps this plan from being made."""
        found = []
        if not self.answers() and (obstacle := libvirt_daemon.obstacle()):
            found.append(obstacle)
        for name in self._foreign(plan) if self.answers() else []:
            text = f"a virtual machine called {name} exists and is not of this lab; it is left alone"
            found.append(Problem(text, "libvirt", f"virsh domrename {name} {name}-old, or another name in lab.yml"))
        program = "qemu-system-x86_64"
        if shutil.which(program) is None and not Path("/usr/libexec/qemu-kvm").exists():
            fix = host.install_command(host.package_manager(), ["qemu-system-x86", "qemu-utils"])
            found.append(Problem(f"{program} is not installed", "this host", fix))
        return found

    def _foreign(self, plan: Plan) -> list[str]:
        """Domains that have the name of a node's and are not the lab's."""
        wanted = {self.machine_name(plan, node.name) for node in plan.nodes}
        taken = wanted & set(self._names("list", "--all", "--name"))
        own = {self.machine_name(plan, machine.node) for machine in self.machines(plan.uuid)} if taken else set()
        return sorted(taken - own)

    def stop(self, machine: Machine, seconds: float) -> None:
        """Shut a domain down by ACPI; switch it off after `seconds`."""
        deadline = time.monotonic() + seconds
        self._virsh("shutdown", "--domain", machine.id, check=False)
        while time.monotonic() < deadline:
            if self._virsh("domstate", "--domain", machine.id).stdout.strip() == "shut off":
                return
            time.sleep(1)
        self._virsh("destroy", "--domain", machine.id, check=False)

    def remove(self, machine: Machine) -> None:
        """Remove a domain with its disks."""
        self._virsh("destroy", "--domain", machine.id, check=False)
        flags = ("--managed-save", "--snapshots-metadata", "--nvram", "--remove-all-storage")
        result = self._virsh("undefine", "--domain", machine.id, *flags, check=False)
        if not result.ok and "no domain" not in result.stderr.lower():
            raise ProviderError(f"{machine.node}: libvirt does not remove it: {result.tail}", fix="labctl destroy")

    def traces(self, identity: LabIdentity) -> bool:
        """Whether libvirt's own files name a network of the lab, whatever became of its machines."""
        names = (network_name(identity.uuid), management_name(identity.uuid))
        return any((DEFINITIONS / "networks" / f"{name}.xml").exists() for name in names)

    def remove_networks(self, identity: LabIdentity) -> list[str]:
        """Remove the lab's two networks and disks left of half-made machines."""
        gone = []
        for name in (network_name(identity.uuid), management_name(identity.uuid)):
            if name in self._names("net-list", "--all", "--name"):
                self._virsh("net-destroy", name, check=False)
                self._virsh("net-undefine", name)
                gone.append(f"network {name}")
        prefix = domain_prefix(identity.name, identity.uuid)
        for volume in self._volumes():
            if volume.startswith(prefix):
                self._virsh("vol-delete", "--pool", POOL, volume)
                gone.append(f"volume {volume}")
        return gone

    def close(self, emit: Emit, phase: str) -> None:
        """After the last lab: remove the pool with the boxes' images in it, and end a daemon that labctl started.

        Whoever only looked (`open` was not called) leaves everything as it is, and so does everybody while another
        labctl works with libvirt.
        """
        if self._use is None:
            return
        descriptor, self._use = self._use, None
        last = libvirt_daemon.alone(descriptor) and self.answers() and not self.machines()
        try:
            if last:
                self._remove_pool()
                libvirt_daemon.stop(emit, phase)
        finally:
            libvirt_daemon.release(descriptor, last=last)

    def _remove_pool(self) -> None:
        if POOL in self._names("pool-list", "--all", "--name"):
            for volume in self._volumes():
                self._virsh("vol-delete", "--pool", POOL, volume, check=False)
            for verb in ("pool-destroy", "pool-delete", "pool-undefine"):
                self._virsh(verb, POOL, check=False)

    def _ensure_pool(self) -> None:
        if POOL not in self._names("pool-list", "--all", "--name"):
            self._virsh("pool-define-as", POOL, "dir", "--target", str(POOL_PATH))
            self._virsh("pool-build", POOL)
        if POOL not in self._names("pool-list", "--name"):
            self._virsh("pool-start", POOL)

    def _volumes(self) -> list[str]:
        result = self._virsh("vol-list", POOL, check=False)
        rows = (line.split() for line in result.stdout.splitlines())
        return [row[0] for row in rows if len(row) > 1 and row[1].startswith("/")]

    def _names(self, *words: str) -> list[str]:
        return [line.strip() for line in self._virsh(*words).stdout.splitlines() if line.strip()]

    def _virsh(self, *words: str, check: bool = True, timeout: float = 120) -> proc.Result:
        try:
            return proc.run(["virsh", "--quiet", "--connect", SYSTEM_URI, *words], check=check, timeout=timeout)
        except proc.ProcessFailed as problem:
            raise ProviderError(
                f"libvirt refuses {words[0]}: {problem.result.tail or problem}", fix="labctl doctor"
            ) from problem
