"""What this host is and has: system, rights, sizes, networks, ports, packages. Looks; changes nothing unasked."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator import macos, operating_system, paths, proc
from orchestrator.capabilities import absent_capabilities
from orchestrator.errors import HostError
from orchestrator.model import CgroupMode, Inotify

PackageManager = Literal["apt", "dnf", "zypper", "pacman", "none"]

# The program by which a package manager is known, and how it installs without asking.
_INSTALL: Mapping[PackageManager, tuple[str, ...]] = {
    "apt": ("apt-get", "install", "-y", "--no-install-recommends"),
    "dnf": ("dnf", "install", "-y"),
    "zypper": ("zypper", "--non-interactive", "install"),
    "pacman": ("pacman", "-S", "--noconfirm", "--needed"),
}
INSTALL_SECONDS = 900
# Where daemons and their tools lie; a user's PATH often lacks the sbin directories.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class HostNetwork:
    """One network the host is on, in CIDR notation, and the interface that leads there."""

    interface: str
    cidr: str


@dataclass(frozen=True)
class HostFacts:
    """This host as labctl found it; memory and disk in MB.

    `missing_capabilities` are absent from the bounding set, so that no process started here can have
    them. `kernel` is `uname -r`.
    """

    os_id: str
    os_version: str
    os_name: str
    package_manager: PackageManager
    cpus: int
    memory_total: int
    memory_available: int
    disk_free_cache: int
    disk_free_lab: int
    networks: tuple[HostNetwork, ...]
    cgroup: CgroupMode
    kernel: str
    missing_capabilities: tuple[str, ...]
    service_manager: bool
    resolvers: tuple[str, ...] = ()


def offline() -> bool:
    """Whether the internet is off limits (LABCTL_OFFLINE or --offline)."""
    return os.environ.get("LABCTL_OFFLINE", "") not in ("", "0")


def facts(lab_dir: Path) -> HostFacts:
    """Look at this host; `lab_dir` is where the lab's state will lie and need not exist yet."""
    release = parse_os_release(_read("/etc/os-release"))
    own_name = operating_system.current().title
    usage = memory()
    return HostFacts(
        os_id=release.get("ID", own_name.lower()),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", own_name),
        package_manager=package_manager(),
        cpus=cpus(),
        memory_total=usage.get("MemTotal", 0),
        memory_available=usage.get("MemAvailable", 0),
        disk_free_cache=disk_free(paths.cache_dir()),
        disk_free_lab=disk_free(lab_dir),
        networks=networks(),
        cgroup=cgroup_mode(),
        kernel=os.uname().release,
        missing_capabilities=missing_capabilities(),
        service_manager=has_service_manager(),
        # systemd-resolved keeps the true servers elsewhere and names itself in the usual place.
        resolvers=parse_resolvers(_read("/run/systemd/resolve/resolv.conf") or _read("/etc/resolv.conf")),
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def parse_os_release(text: str) -> dict[str, str]:
    """Fields of an os-release file, quotes removed."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def parse_meminfo(text: str) -> dict[str, int]:
    """Fields of /proc/meminfo in MB."""
    pairs = (line.partition(":") for line in text.splitlines() if line.rstrip().endswith("kB"))
    return {key: int(value.split()[0]) // 1024 for key, _, value in pairs}


def memory() -> dict[str, int]:
    """The memory of this host in MB by the names of /proc/meminfo; macOS tells MemTotal and MemAvailable only."""
    if operating_system.current().is_macos:
        total, available = macos.memory_total(_output(macos.MEMORY)), macos.memory_available(_output(macos.FREE_MEMORY))
        return {"MemTotal": total, "MemAvailable": available}
    return parse_meminfo(_read("/proc/meminfo"))


def memory_available() -> int:
    """Memory that processes can still get, in MB."""
    return memory().get("MemAvailable", 0)


def cpus() -> int:
    """The CPUs that this process may use; macOS only knows how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _output(argv: Sequence[str]) -> str:
    """What a program of the system prints; empty when it is missing."""
    try:
        return proc.run(argv, check=False, timeout=10).stdout
    except FileNotFoundError:
        return ""


def disk_free(path: Path) -> int:
    """Free MB for this user where `path` lies, or will lie."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free // 2**20


def has_service_manager() -> bool:
    """Whether systemd runs here, whose business daemons are then."""
    return Path("/run/systemd/system").is_dir()


def cgroup_mode() -> CgroupMode:
    """Which cgroup version the controllers are on: v2 only when the unified hierarchy is the mount itself."""
    return "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"


def missing_capabilities() -> tuple[str, ...]:
    """Names of the capabilities this kernel knows and the bounding set of this process lacks."""
    last = int(_read("/proc/sys/kernel/cap_last_cap") or 40)
    return absent_capabilities(_read("/proc/self/status"), last)


def parse_resolvers(text: str) -> tuple[str, ...]:
    """The IPv4 name servers of a resolv.conf that others than this host can reach."""
    words = [line.split() for line in text.splitlines()]
    servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and ":" not in word[1]]
    return tuple(server for server in servers if not ipaddress.ip_address(server).is_loopback)


def networks() -> tuple[HostNetwork, ...]:
    """The IPv4 networks of this host's interfaces and routes; empty when `ip` is missing."""
    if operating_system.current().is_macos:
        return tuple(HostNetwork(*network) for network in macos.networks(_output(macos.INTERFACES)))
    return parse_networks(
        _output(["ip", "-j", "-4", "addr"]), _output(["ip", "-j", "-4", "route", "show", "table", "all"])
    )


def parse_networks(addresses: str, routes: str) -> tuple[HostNetwork, ...]:
    """Networks from the output of `ip -j addr` and `ip -j route`, without loopback, default and host routes."""
    found: dict[str, HostNetwork] = {}
    for link in json.loads(addresses or "[]"):
        for info in link.get("addr_info", ()):
            network = ipaddress.ip_interface(f"{info['local']}/{info['prefixlen']}").network
            found.setdefault(str(network), HostNetwork(str(link.get("ifname", "")), str(network)))
    for route in json.loads(routes or "[]"):
        destination = str(route.get("dst", "default"))
        if destination == "default" or route.get("type", "unicast") != "unicast" or "/" not in destination:
            continue
        found.setdefault(destination, HostNetwork(str(route.get("dev", "")), destination))
    loopback = ipaddress.ip_network("127.0.0.0/8")
    return tuple(
        item
        for item in found.values()
        if not (net := ipaddress.ip_network(item.cidr)).overlaps(loopback) and net.prefixlen > 0
    )


def port_is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether a program of this user could listen on this TCP port of an address now; 0 asks for the address alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def package_manager() -> PackageManager:
    """The host's package manager by the program that is installed."""
    return next((name for name, argv in _INSTALL.items() if shutil.which(argv[0])), "none")


def install_argv(manager: PackageManager, names: Sequence[str]) -> tuple[str, ...]:
    """The command line that installs packages without asking; empty when the package manager is unknown."""
    return (*_INSTALL[manager], *names) if manager in _INSTALL else ()


def install_command(manager: PackageManager, names: Sequence[str]) -> str:
    """The same as text for a person, with sudo for whoever is not root."""
    argv = install_argv(manager, names)
    if not argv:
        return f"install {', '.join(names)} with your system's package manager"
    return ("" if os.geteuid() == 0 else "sudo ") + " ".join(argv)


def sysctl_command(key: str, value: int) -> str:
    """The command that sets a setting of the kernel, now and at every boot."""
    return f"sudo sysctl -w {key}={value}; echo {key}={value} | sudo tee -a /etc/sysctl.d/90-labctl.conf"


def inotify_limit() -> Inotify | None:
    """What the kernel lets one user have; None where it does not say."""
    limits = [_read(f"/proc/sys/fs/inotify/max_user_{unit}").strip() for unit in ("instances", "watches")]
    return Inotify(*map(int, limits)) if all(limits) else None


def inotify_in_use(processes: Path = Path("/proc")) -> Inotify:
    """What processes of root have open, which is whom the kernel charges for nodes; only root sees all of it."""
    instances = watches = 0
    for directory in processes.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if directory.stat().st_uid != 0:
                continue
            for link in (directory / "fd").iterdir():
                if str(link.readlink()) == "anon_inode:inotify":
                    instances += 1
                    watches += _read(f"{directory}/fdinfo/{link.name}").count("inotify ")
    return Inotify(instances, watches)


def install_packages(names: Sequence[str]) -> None:
    """Install packages with the host's package manager; only for when the user has said --yes.

    Raises HostError with the package manager's own last line. Services that come with a package are
    started or not as the distribution does it.
    """
    manager = package_manager()
    argv = install_argv(manager, names)
    fix = install_command(manager, names)
    if not argv:
        raise HostError(f"cannot install {', '.join(names)}: no known package manager here", fix=fix)
    if os.geteuid() != 0:
        raise HostError(f"installing {', '.join(names)} takes root", fix=fix)
    env = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    options: dict[str, Any] = {"check": False, "timeout": INSTALL_SECONDS, "env": env}
    try:
        result = proc.run(argv, **options)
        if not result.ok and manager == "apt":
            # Package lists may be missing or older than the mirror's pool.
            proc.run(["apt-get", "update"], **options)
            result = proc.run(argv, **options)
    except proc.ProcessFailed as problem:
        raise HostError(f"installing {', '.join(names)} failed: {problem}", fix=fix) from problem
    if not result.ok:
        raise HostError(f"installing {', '.join(names)} failed: {result.tail}", fix=fix)


def listening_ports() -> frozenset[int]:
    """TCP ports on which somebody listens for 127.0.0.1, in any user's process."""
    return parse_listening(_read("/proc/net/tcp") + _read("/proc/net/tcp6"))


def parse_listening(table: str) -> frozenset[int]:
    """Ports in state LISTEN (0A) of /proc/net/tcp tables, bound to loopback or to every address."""
    found = set()
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] != "0A":
            continue
        address, _, port = fields[1].rpartition(":")
        # Little-endian words: 7F000001 stands as 0100007F, every address is all zeros.
        if not address.strip("0") or address == "0100007F" or address.endswith("01000000"):
            found.add(int(port, 16))
    return frozenset(found)
