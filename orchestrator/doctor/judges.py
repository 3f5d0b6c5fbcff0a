"""Verdicts on what a host has: pure functions from facts to findings."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from orchestrator.host import HostNetwork

from .finding import Finding, Repair, bad, good, not_applicable

# Without these no systemd node, no pod network and no mount works.
NEEDED_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETUID",
    "SETGID",
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_CHROOT",
    "MKNOD",
)
NEEDED_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
SOCKET_PATH_BYTES = 107
# ssh's control sockets: 40 digits of hash and the random end that ssh adds while it connects.
SOCKET_NAME_BYTES = 60


def version(text: str) -> tuple[int, ...]:
    """The first dotted number in a program's answer; empty when there is none."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def program(name: str, answer: str | None, minimum: tuple[int, ...], fix: str, repair: Repair | None = None) -> Finding:
    """A program's version, as it says it itself; `answer` is None when it is not there."""
    wanted = f"{name} {'.'.join(map(str, minimum))} or later" if minimum else name
    if answer is None:
        return bad("not installed", wanted, fix, repair)
    found = version(answer)
    shown = ".".join(map(str, found)) or "installed"
    return bad(shown, wanted, fix) if minimum and found and found < minimum else good(shown, wanted)


def at_least(found: int, wanted: int, unit: str, fix: str, where: str = "") -> Finding:
    """An amount that must be reached."""
    text = f"{found} {unit}{f' {where}' if where else ''}"
    return good(text, f"{wanted} {unit}") if found >= wanted else bad(text, f"{wanted} {unit}", fix)


def system(name: str, machine: str) -> Finding:
    """The system and processor that labctl's nodes are made for."""
    wanted = "Linux on x86_64"
    if name == "Linux" and machine in ("x86_64", "AMD64"):
        return good(f"{name} on {machine}", wanted)
    return bad(f"{name} on {machine}", wanted, "run labctl on a Linux machine with an x86_64 processor")


def virtualization(flags: Collection[str], kvm: bool, machines: bool) -> Finding:
    """Hardware virtualization, which machines of a hypervisor need; containers do not."""
    found = ", ".join([*sorted({"vmx", "svm"} & set(flags)), *(["/dev/kvm"] if kvm else [])]) or "none"
    if not machines:
        return not_applicable(f"containers need none (found: {found})")
    if found != "none":
        return good(found, "VT-x or AMD-V")
    return bad(found, "VT-x or AMD-V", "switch virtualization on in the firmware, or take provider: container")


def swap(total: int, free: int) -> Finding:
    """Swap that is nearly used up slows every node down; in MB."""
    used = total - free
    text = f"{used} of {total} MB in use" if total else "none"
    if total and used > total * 0.8:
        return bad(text, "at most 80 % in use", "end programs that use much memory, or set fewer workers")
    return good(text, "at most 80 % in use")


def ports(wanted: Mapping[int, str], busy: Collection[int], explicit: bool) -> Finding:
    """The forwards on 127.0.0.1; a default block of ports moves by itself, a chosen one does not."""
    held = [port for port in wanted if port in busy]
    span = f"{min(wanted)}..{max(wanted)} free on 127.0.0.1"
    if not held:
        return good(f"all {len(wanted)} are free", span)
    text = ", ".join(f"{port} ({wanted[port]})" for port in held) + " in use"
    if not explicit:
        return good(f"{text}; other ports will be taken", span)
    return bad(text, span, f"ss -ltnp 'sport = :{held[0]}' names the program; or leave network.ssh_port_base out")


def overlap(name: str, cidr: str, networks: Sequence[HostNetwork], field: str, own: str = "") -> Finding:
    """A network of the lab against those of the host; `own` is the lab's own network once it exists."""
    if cidr == "auto":
        return good("a free one is chosen", f"{name} not in use on this host")
    net = ipaddress.ip_network(cidr)
    hits = [one for one in networks if one.cidr != own and net.overlaps(ipaddress.ip_network(one.cidr))]
    wanted = f"{name} {cidr} not in use on this host"
    if not hits:
        return good("no overlap", wanted)
    text = ", ".join(f"{one.cidr} on {one.interface or 'a route'}" for one in hits)
    return bad(f"overlaps {text}", wanted, f"set {field} to another range in lab.yml")


def controllers(found: Collection[str]) -> Finding:
    """The cgroup controllers that the kubelet insists on."""
    missing = [one for one in NEEDED_CONTROLLERS if one not in found]
    wanted = ", ".join(NEEDED_CONTROLLERS)
    if missing:
        fix = "boot with cgroup_enable=memory" if "memory" in missing else "use a kernel with these cgroup controllers"
        return bad(f"without {', '.join(missing)}", wanted, fix)
    return good("all there", wanted)


def parse_controllers(v1: str, v2: str) -> tuple[str, ...]:
    """Controllers of /proc/cgroups that are enabled, and those of a v2 cgroup.controllers file."""
    rows = [line.split() for line in v1.splitlines() if line and not line.startswith("#")]
    return tuple(sorted({row[0] for row in rows if len(row) == 4 and row[3] == "1"} | set(v2.split())))


def capabilities(missing: Collection[str], containers: bool) -> Finding:
    """What processes started here may do at most, as far as container nodes need it."""
    if not containers:
        return not_applicable("machines of a hypervisor have all their own")
    lacking = [one for one in NEEDED_CAPABILITIES if one in missing]
    wanted = f"{len(NEEDED_CAPABILITIES)} that container nodes cannot do without"
    if lacking:
        fix = "run labctl outside this sandbox, or give it these capabilities"
        return bad(f"without {', '.join(lacking)}", wanted, fix)
    return good(f"all there; {', '.join(missing)} missing, done without" if missing else "all there", wanted)


def module(name: str, there: bool, needed: bool, why: str = "") -> Finding:
    """A kernel module or what it provides, which no container node may load by itself."""
    if not needed:
        return not_applicable(why or "the machines have their own kernel")
    if there:
        return good("there", name)
    return bad("not loaded", name, f"modprobe {name}; echo {name} | sudo tee /etc/modules-load.d/{name}.conf")


def clock(now: float, newest: float) -> Finding:
    """A clock that is behind the files of this very installation is wrong; both in seconds since the epoch."""
    behind = newest - now
    wanted = "not behind labctl's own files"
    if behind > 300:
        return bad(f"{behind / 3600:.1f} hours behind", wanted, "sudo timedatectl set-ntp true")
    return good("plausible", wanted)


def resolver(text: str, offline: bool) -> Finding:
    """Name servers of /etc/resolv.conf."""
    servers = re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE)
    if servers:
        return good(", ".join(servers), "a name server")
    if offline:
        return not_applicable("nothing is looked up outside: LABCTL_OFFLINE is set")
    return bad("none in /etc/resolv.conf", "a name server", "name one in your network settings (nameserver ADDRESS)")


def proxy(environ: Mapping[str, str], subnet: str) -> Finding:
    """Proxy settings: a URL that makes sense, and the lab's own network left out of it."""
    named = {key: environ.get(key) or environ.get(key.upper(), "") for key in ("http_proxy", "https_proxy")}
    used = {key: value for key, value in named.items() if value}
    if not used:
        return good("none", "none, or a URL")
    for key, value in used.items():
        parts = urlsplit(value)
        try:
            fine = parts.scheme in ("http", "https", "socks5", "socks5h") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine = False
        if not fine:
            return bad(f"{key} is not a URL with a scheme", "http://HOST:PORT", f"export {key}=http://HOST:PORT")
    return good(
        f"{', '.join(sorted(used))} set; the lab's own network {subnet} is reached without it", "none, or a URL"
    )


def locale(value: str, encoding: str) -> Finding:
    """The encoding in which files and terminals are read."""
    if encoding.lower().replace("-", "") == "utf8":
        return good(f"{value or 'default'}, {encoding}", "UTF-8")
    return bad(f"{value or 'default'}, {encoding}", "UTF-8", "export LC_ALL=C.UTF-8")


def runtime_path(directory: str) -> Finding:
    """Sockets lie in the runtime directory, and the kernel ends their paths."""
    length = len(directory.encode())
    most = SOCKET_PATH_BYTES - SOCKET_NAME_BYTES
    wanted = f"at most {most} bytes"
    text = f"{directory}: {length} bytes"
    return good(text, wanted) if length <= most else bad(text, wanted, "export XDG_RUNTIME_DIR=/run/user/$(id -u)")


def stale(what: str, found: Sequence[str], removable: bool = True) -> Finding:
    """Files whose owner is gone."""
    if not found:
        return good("none", f"no {what}")
    repair = Repair(remove=tuple(found)) if removable else None
    return bad(", ".join(found), f"no {what}", f"rm {' '.join(found)}", repair)
