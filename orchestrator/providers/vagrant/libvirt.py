"""libvirt seen without Vagrant, through virsh: machines by the identity in their description, networks, disks, keys."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from orchestrator import host, proc
from orchestrator.checks.host import HostCheck
from orchestrator.errors import HostError, Problem, ProviderError
from orchestrator.events import Emit
from orchestrator.model import Plan, ProviderName
from orchestrator.observed import Sizing
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.providers.vagrant import box_build, libvirt_files
from orchestrator.providers.vagrant.host_checks import common_checks, program_check
from orchestrator.providers.vagrant.hypervisor import Hypervisor, Machine, MachineState, foreign_machine
from orchestrator.providers.vagrant.preflight import has_plugin
from orchestrator.providers.vagrant.provider import VagrantProvider
from orchestrator.providers.vagrant.vagrantfile import (
    SYSTEM_URI,
    LibvirtSettings,
    domain_prefix,
    machine_name,
    management_name,
    network_name,
)
from orchestrator.providers.without_systemd import libvirt_daemon
from orchestrator.providers.without_systemd.daemon import Lock
from orchestrator.spec import Spec

POOL = "labctl"
POOL_PATH = Path("/var/lib/libvirt/images/labctl")
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
# Where the networks to the outside are taken from: vagrant-libvirt's own default range and those after it.
MANAGEMENT_POOL = [ipaddress.IPv4Network(f"192.168.{third}.0/24") for third in range(121, 141)]
PLUGIN = "vagrant-libvirt"
# What a lab calls on the host, and the Debian packages that have it.
PACKAGES = {
    "vagrant": PLUGIN,
    "virsh": "libvirt-clients",
    "libvirtd": "libvirt-daemon-system",
    "dnsmasq": "dnsmasq-base",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
}


def make() -> Provider:
    """The provider."""
    return VagrantProvider(Libvirt())


class Libvirt(Hypervisor):
    """The libvirt of this host, `qemu:///system`."""

    name: ClassVar[ProviderName] = "libvirt"
    sizing: ClassVar[Sizing] = Sizing(disk_lab=2000, disk_node=4000, disk_bare=2000, minimum_cpus=2)
    programs: ClassVar[dict[str, str]] = {
        "virsh": "install libvirt and its clients with your package manager",
        "vagrant": f"install Vagrant and its libvirt plugin: apt-get install {PLUGIN}",
    }
    plugin: ClassVar[str] = PLUGIN
    forwards: ClassVar[bool] = False

    def host_checks(self, spec: Spec, existing: Plan | None) -> Sequence[HostCheck]:
        get = self.programs["virsh"]
        return (
            *common_checks(existing),
            program_check("provider.libvirt", "libvirt", ["virsh", "--version"], (7, 0), get),
        )

    def __init__(self) -> None:
        self._users: Lock | None = None

    def only_named(self) -> str:
        """Without KVM, or without a daemon of the host's own, a container is the better choice."""
        if not libvirt_files.has_kvm():
            return "no KVM here: its machines would be emulated in software, which takes minutes"
        return "its daemon does not run" if libvirt_daemon.started_here() or not self.answers() else ""

    def missing_packages(self, guest: str) -> list[str]:
        """Debian packages of what the host lacks, those to build the machines' box among them."""
        if host.package_manager() != "apt":
            return []
        names = [package for program, package in PACKAGES.items() if not shutil.which(program, path=host.SYSTEM_PATH)]
        if PLUGIN not in names and not has_plugin(PLUGIN):
            names.append(PLUGIN)
        names += box_build.tools_for(guest, self.name)
        return list(dict.fromkeys(names))

    def open(self, emit: Emit, phase: str) -> None:
        """Make sure that libvirt answers and that the pool of labctl's disks exists, and keep it so until `close`."""
        if self._users is None:
            self._users = libvirt_daemon.join()
        if not self.answers():
            libvirt_daemon.start(self.answers, emit, phase, hide_kvm=not libvirt_files.has_kvm())
        self._ensure_pool()

    def answers(self) -> bool:
        """Whether libvirtd answers now."""
        try:
            return self._virsh("uri", check=False, timeout=10).ok
        except (FileNotFoundError, ProviderError):
            return False

    def machines(self, uuid: str | None = None) -> list[Machine]:
        """Machines by the identity in their description; from libvirt's own files while no daemon runs."""
        if shutil.which("virsh") is None:
            return []
        machines = self._defined() if self.answers() else libvirt_files.dormant_machines()
        return [machine for machine in machines if machine and uuid in (None, machine.lab.uuid)]

    def _defined(self) -> Iterator[Machine | None]:
        states: dict[str, MachineState] = dict.fromkeys(self._names("list", "--state-running", "--name"), "running")
        states |= dict.fromkeys(self._names("list", "--state-shutoff", "--name"), "stopped")
        for name in self._names("list", "--all", "--name"):
            result = self._virsh("dumpxml", "--domain", name, check=False)
            yield libvirt_files.machine_of(result.stdout, states.get(name, "broken")) if result.ok else None

    def remove_leftovers(self, plan: Plan) -> list[str]:
        """Remove disks without a machine: a run that ended between the two leaves one, and Vagrant then refuses."""
        made = {f"{name}.img" for name in self._names("list", "--all", "--name")}
        gone = []
        for node in plan.nodes:
            volume = f"{machine_name(plan, node.name)}.img"
            if volume not in made and volume in self._volumes():
                self._virsh("vol-delete", "--pool", POOL, volume)
                gone.append(f"disk {volume}")
        return gone

    def pin(self, machine: Machine, host_keys: Sequence[str]) -> None:
        """Keep public host keys in the domain's metadata."""
        keys = "".join(f"<host-key>{key}</host-key>" for key in host_keys)
        places = ["--config", *(["--live"] if machine.state == "running" else [])]
        words = ["metadata", "--domain", machine.id, "--uri", libvirt_files.NAMESPACE, "--key", "labctl"]
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

    def is_emulated(self) -> bool:
        """Where there is no KVM."""
        return not libvirt_files.has_kvm()

    def settings(self, plan: Plan) -> LibvirtSettings:
        """Emulation where there is no KVM; a network to the outside that meets no other."""
        return LibvirtSettings(
            emulated=not libvirt_files.has_kvm(), storage_pool=POOL, management_subnet=self._management_subnet(plan)
        )

    def _management_subnet(self, plan: Plan) -> str:
        """The subnet the lab's network has already, else the first of the pool that nobody uses."""
        result = self._virsh("net-dumpxml", management_name(plan.uuid), check=False)
        if result.ok and (current := libvirt_files.subnet_of(result.stdout)):
            return str(current)
        taken = [ipaddress.IPv4Network(network.cidr, strict=False) for network in host.networks()]
        taken.append(ipaddress.IPv4Network(plan.network.subnet))
        networks = (self._virsh("net-dumpxml", name).stdout for name in self._names("net-list", "--all", "--name"))
        taken += filter(None, map(libvirt_files.subnet_of, networks))
        for candidate in MANAGEMENT_POOL:
            if not any(candidate.overlaps(other) for other in taken):
                return str(candidate)
        raise HostError(
            "no network of 192.168.121.0 to 192.168.140.0 is free for the machines' way outside",
            fix="virsh net-list --all, and remove what is not needed (virsh net-undefine NAME)",
        )

    def owns_subnet(self, plan: Plan) -> bool:
        """Whether the lab's network exists, left by a run that did not end."""
        return self.answers() and network_name(plan.uuid) in self._names("net-list", "--all", "--name")

    def problems(self, plan: Plan) -> list[Problem]:
        """What about libvirt keeps this plan from being made."""
        found = []
        if self.answers():
            rename = "virsh domrename {0} {0}-old, or another name in lab.yml".format
            found += [foreign_machine(name, "libvirt", rename(name)) for name in self._foreign(plan)]
        elif obstacle := libvirt_daemon.obstacle():
            found.append(obstacle)
        program = "qemu-system-x86_64"
        if shutil.which(program) is None and not Path("/usr/libexec/qemu-kvm").exists():
            fix = host.install_command(host.package_manager(), ["qemu-system-x86", "qemu-utils"])
            found.append(Problem(f"{program} is not installed", "this host", fix))
        return found

    def _foreign(self, plan: Plan) -> list[str]:
        """Domains that have the name of a node's and are not the lab's."""
        names = {machine_name(plan, node.name) for node in plan.nodes}
        taken = names & set(self._names("list", "--all", "--name"))
        own = {machine_name(plan, machine.node) for machine in self.machines(plan.uuid)} if taken else set()
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

    def has_networks(self, identity: LabIdentity) -> bool:
        """Whether libvirt's own files name a network of the lab, whatever became of its machines."""
        names = (network_name(identity.uuid), management_name(identity.uuid))
        return any((libvirt_files.DEFINITIONS / "networks" / f"{name}.xml").exists() for name in names)

    def remove_networks(self, identity: LabIdentity) -> list[str]:
        """Remove the lab's two networks and disks left of incomplete machines."""
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
        users, self._users = self._users, None
        if users is None:
            return
        last = users.upgrade() and self.answers() and not self.machines()
        try:
            if last:
                self._remove_pool()
                libvirt_daemon.stop(emit, phase)
        finally:
            users.release(remove=last)

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
