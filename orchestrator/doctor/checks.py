"""The checks of the host itself, as data: each a question, what is required, and how it is put right."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator import host, paths
from orchestrator.model import ProviderName, Sizing
from orchestrator.spec import Spec

from . import judges, probes
from .finding import Check, Finding, Repair, bad, good, not_applicable

INOTIFY_INSTANCES, INOTIFY_WATCHES = 128, 8192
PROCESS_IDS, OPEN_FILES, INODES = 16384, 4096, 100_000
TEMPORARY_MB = 500
PYTHON = (3, 11)
_OWN_KERNEL = "the machines have their own kernel"
# Package with the program, by package manager.
_PACKAGES = {
    "ssh": {"apt": "openssh-client", "dnf": "openssh-clients", "zypper": "openssh-clients", "pacman": "openssh"},
    "ip": {"apt": "iproute2", "dnf": "iproute", "zypper": "iproute2", "pacman": "iproute2"},
    "iptables": {"apt": "iptables", "dnf": "iptables-nft", "zypper": "iptables", "pacman": "iptables"},
}


@dataclass(frozen=True)
class Needs:
    """What the lab that is asked for takes of the host; memory and disk in MB, `ports` with what each is for."""

    provider: ProviderName
    nodes: int
    memory: int
    disk: int
    cpus: int
    ports: dict[int, str]
    ports_chosen: bool
    subnet: str
    pod_cidr: str
    service_cidr: str
    kubernetes: bool
    own_subnet: str = ""

    @property
    def containers(self) -> bool:
        return self.provider == "container"

    @property
    def machines(self) -> bool:
        return self.provider in ("virtualbox", "libvirt")


def needs(asked: Spec, provider: ProviderName, sizing: Sizing, names: dict[str, int], own_subnet: str = "") -> Needs:
    """What a lab takes; `names` are its nodes with their offsets in the subnet, `sizing` the provider's."""
    lab = asked.lab
    workers, kubernetes = lab.workers.count, lab.kubernetes.enabled
    if sizing.machine_memory:
        memory = lab.control_plane.memory + workers * lab.workers.memory
    elif kubernetes:
        memory = min(lab.control_plane.memory, sizing.memory_control_plane)
        memory += workers * min(lab.workers.memory, sizing.memory_worker)
    else:
        memory = (workers + 1) * sizing.memory_bare
    per_node = sizing.disk_node if kubernetes else sizing.disk_bare
    ports = {lab.network.ssh_port_base + offset - 10: f"SSH of {name}" for name, offset in names.items()}
    return Needs(
        provider=provider,
        nodes=workers + 1,
        memory=memory,
        disk=per_node * (workers + 1) + sizing.disk_lab,
        cpus=sizing.minimum_cpus if kubernetes else 1,
        ports=ports,
        ports_chosen=asked.is_explicit("network.ssh_port_base"),
        # A default that is in use moves on, as `auto` does.
        subnet="auto" if asked.is_default("network.subnet") else lab.network.subnet,
        pod_cidr=lab.kubernetes.pod_cidr,
        service_cidr=lab.kubernetes.service_cidr,
        kubernetes=kubernetes,
        own_subnet=own_subnet,
    )


def _program(name: str, argv: list[str], minimum: tuple[int, ...] = ()) -> Finding:
    manager = host.package_manager()
    package = _PACKAGES["ssh" if name == "ssh-keygen" else name].get(manager)
    fix = host.install_command(manager, [package or name])
    return judges.program(name, probes.answer(argv), minimum, fix, Repair(packages=(package,)) if package else None)


def _tool(name: str, argv: list[str], minimum: tuple[int, ...], wanted: bool, fix: str) -> Finding:
    """A hypervisor's program, which only its own provider needs."""
    if not wanted and shutil.which(argv[0]) is None:
        return not_applicable("not installed; the lab's provider does not need it")
    return judges.program(name, probes.answer(argv), minimum, fix)


def host_checks(lab: Needs, state: Path, offline: bool) -> tuple[Check, ...]:
    """Every check that asks the host alone; `state` is the `.labctl` directory beside lab.yml."""
    memory = probes.Once(lambda: host.parse_meminfo(probes.read("/proc/meminfo")))
    networks = probes.Once(host.networks)
    cache = paths.cache_dir()
    fewer = "set fewer workers (--workers N), or less memory for each"
    space = "free some space there, or name another place: LABCTL_CACHE=DIR"
    limits = "sysctl -w {0}; echo {0} | sudo tee /etc/sysctl.d/90-labctl.conf".format
    vagrant = "install Vagrant: https://developer.hashicorp.com/vagrant/install"
    vbox = "install VirtualBox: https://www.virtualbox.org/wiki/Linux_Downloads"

    def networks_at(name: str, cidr: str, field: str) -> Finding:
        return judges.overlap(name, cidr, networks(), field, lab.own_subnet)

    def cgroups() -> Finding:
        if lab.machines:
            return not_applicable(_OWN_KERNEL)
        return judges.controllers(judges.parse_controllers(*probes.cgroup_files()))

    def limit(path: str, least: int, what: str, setting: str) -> Finding:
        return judges.at_least(probes.number(path), least, what, limits(f"{setting}={least}"))

    def temporary() -> Finding:
        place = Path(os.environ.get("TMPDIR", "/tmp"))
        if not probes.writable(place):
            return bad(f"{place} cannot be written", "a place to write", "export TMPDIR=DIR")
        if not probes.runs_programs(str(place)):
            return bad(f"{place} is mounted noexec", "a place to run programs from", "export TMPDIR=DIR")
        return judges.at_least(host.disk_free(place), TEMPORARY_MB, "MB", "free some space", f"free in {place}")

    def cache_writable() -> Finding:
        fine = probes.writable(cache)
        wanted = "a cache that can be written"
        return good(str(cache), wanted) if fine else bad(f"{cache} cannot be written", wanted, "LABCTL_CACHE=DIR")

    def python() -> Finding:
        return judges.program("Python", platform.python_version(), PYTHON, "install Python 3.11 or later")

    def states() -> Finding:
        found = probes.damaged_states(state)
        return bad("; ".join(found), "readable, and the user's alone", "labctl provision") if found else good("none")

    def bridge() -> Finding:
        there = Path("/proc/sys/net/bridge").is_dir()
        return judges.module("br_netfilter", there, lab.containers and lab.kubernetes, _OWN_KERNEL)

    def overlay() -> Finding:
        there = "\toverlay\n" in probes.read("/proc/filesystems")
        return judges.module("overlay", there, lab.containers, _OWN_KERNEL)

    def virtualization() -> Finding:
        return judges.virtualization(probes.cpu_flags(), Path("/dev/kvm").exists(), lab.machines)

    def coding() -> Finding:
        value = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG", "")
        return judges.locale(value, "utf-8" if sys.flags.utf8_mode else locale.getpreferredencoding(False))

    return (
        Check("host.system", "System and processor", lambda: judges.system(platform.system(), platform.machine())),
        Check("host.python", "Python", python),
        Check("host.virtualization", "Hardware virtualization", virtualization, "warning"),
        Check(
            "host.cpus",
            "CPUs",
            lambda: judges.at_least(len(os.sched_getaffinity(0)), lab.cpus, "CPUs", "take a machine with more CPUs"),
        ),
        Check(
            "host.memory",
            f"Memory for {lab.nodes} nodes",
            lambda: judges.at_least(memory().get("MemTotal", 0), lab.memory, "MB", fewer),
        ),
        Check(
            "host.swap",
            "Swap",
            lambda: judges.swap(memory().get("SwapTotal", 0), memory().get("SwapFree", 0)),
            "warning",
        ),
        Check(
            "host.disk_cache",
            "Disk for the cache and the machines",
            lambda: judges.at_least(host.disk_free(cache), lab.disk, "MB", space, f"free under {cache}"),
        ),
        Check(
            "host.disk_lab",
            "Disk for the lab's state",
            lambda: judges.at_least(host.disk_free(state), 100, "MB", "free some space", f"free under {state.parent}"),
        ),
        Check(
            "host.inodes",
            "Inodes for the cache",
            lambda: judges.at_least(probes.free_inodes(cache), INODES, "inodes free", space),
            "warning",
        ),
        Check("host.cache", "Cache directory", cache_writable),
        Check("host.tmp", "Temporary directory", temporary),
        Check("host.runtime_path", "Length of socket paths", lambda: judges.runtime_path(str(paths.runtime_dir()))),
        Check("host.cgroup_controllers", "cgroup controllers", cgroups),
        Check(
            "host.capabilities",
            "Capabilities",
            lambda: judges.capabilities(host.missing_capabilities(), lab.containers),
        ),
        Check("host.br_netfilter", "Kernel module br_netfilter", bridge),
        Check("host.overlay", "File system overlay", overlay),
        Check(
            "host.inotify_instances",
            "inotify instances",
            lambda: limit(
                "/proc/sys/fs/inotify/max_user_instances",
                INOTIFY_INSTANCES,
                "for each user",
                "fs.inotify.max_user_instances",
            ),
            "warning",
        ),
        Check(
            "host.inotify_watches",
            "inotify watches",
            lambda: limit(
                "/proc/sys/fs/inotify/max_user_watches", INOTIFY_WATCHES, "for each user", "fs.inotify.max_user_watches"
            ),
            "warning",
        ),
        Check(
            "host.process_ids",
            "Process ids",
            lambda: limit("/proc/sys/kernel/pid_max", PROCESS_IDS, "ids", "kernel.pid_max"),
        ),
        Check(
            "host.open_files",
            "Open files",
            lambda: judges.at_least(probes.open_files(), OPEN_FILES, "for each program", f"ulimit -n {OPEN_FILES}"),
        ),
        Check(
            "host.clock", "Clock", lambda: judges.clock(time.time(), probes.newest_file(Path(paths.__file__).parent))
        ),
        Check("host.locale", "Locale", coding, "warning"),
        Check(
            "host.resolver",
            "Name servers",
            lambda: judges.resolver(probes.read("/etc/resolv.conf"), offline),
            "warning",
        ),
        Check("host.proxy", "Proxy settings", lambda: judges.proxy(os.environ, lab.subnet)),
        Check("host.ssh", "SSH client", lambda: _program("ssh", ["ssh", "-V"], (7, 6))),
        Check("host.ssh_keygen", "SSH key generator", lambda: _program("ssh-keygen", ["ssh-keygen", "-?"])),
        Check("host.ip", "Program ip", lambda: _program("ip", ["ip", "-V"])),
        Check(
            "host.iptables",
            "Program iptables",
            lambda: _program("iptables", ["iptables", "--version"]) if lab.containers else not_applicable(_OWN_KERNEL),
        ),
        Check(
            "provider.vagrant",
            "Vagrant",
            lambda: _tool("Vagrant", ["vagrant", "--version"], (2, 2, 19), lab.machines, vagrant),
        ),
        Check(
            "provider.virtualbox",
            "VirtualBox",
            lambda: _tool("VirtualBox", ["VBoxManage", "--version"], (6, 1, 28), lab.provider == "virtualbox", vbox),
        ),
        Check(
            "provider.libvirt",
            "libvirt",
            lambda: _tool(
                "libvirt",
                ["virsh", "--version"],
                (7, 0),
                lab.provider == "libvirt",
                "install libvirt and its clients with your package manager",
            ),
        ),
        Check(
            "network.ports",
            "Ports of the SSH forwards",
            lambda: (
                judges.ports(lab.ports, host.listening_ports(), lab.ports_chosen)
                if not lab.own_subnet
                else not_applicable("the lab has its ports already")
            ),
        ),
        Check(
            "network.subnet",
            "The lab's subnet",
            lambda: networks_at("the subnet", lab.subnet, "network.subnet"),
        ),
        Check(
            "network.pods",
            "The pods' network",
            lambda: networks_at("the pod network", lab.pod_cidr, "kubernetes.pod_cidr"),
        ),
        Check(
            "network.services",
            "The Services' network",
            lambda: networks_at("the Service network", lab.service_cidr, "kubernetes.service_cidr"),
        ),
        Check(
            "state.locks",
            "Notes of lock holders",
            lambda: judges.stale("note of a holder that is gone", probes.dead_holders(state)),
            "warning",
        ),
        Check(
            "state.half_written",
            "Half-written files",
            lambda: judges.stale("half-written file", probes.half_written(state)),
            "warning",
        ),
        Check("state.directories", "State directories", states),
    )
