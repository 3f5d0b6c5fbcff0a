"""Outcomes of what a host has: pure functions from facts to an Outcome."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from orchestrator.checks.model import Outcome, Repair, failed, not_applicable, passed
from orchestrator.host import HostNetwork
from orchestrator.model import ORIGINS
from orchestrator.observed import Observed
from orchestrator.operating_system import OperatingSystem
from orchestrator.plan.provider import inotify_remedy

SOCKET_PATH_BYTES = 107
# ssh's control sockets: 40 digits of hash and the random end that ssh adds while it connects.
SOCKET_NAME_BYTES = 60


def at_least(amount: int, minimum: int, unit: str, remedy: str, place: str = "") -> Outcome:
    """Whether an amount reaches its minimum."""
    text, expected = f"{amount} {unit}{f' {place}' if place else ''}", f"{minimum} {unit}"
    return passed(text, expected) if amount >= minimum else failed(text, expected, remedy)


def system(system: OperatingSystem) -> Outcome:
    """Whether labctl runs on this system at all; which providers do is the check of the provider's choice."""
    text, expected = f"{system.title} on {system.machine}{' (WSL)' if system.is_wsl else ''}", "Linux or macOS"
    if system.is_linux or system.is_macos:
        return passed(text, expected)
    return failed(text, expected, "run labctl on Linux; on Windows in WSL2: docs/how-to/windows.md")


def swap(total: int, free: int) -> Outcome:
    """Whether swap, in MB, is not nearly used up, which slows every node down."""
    used, expected = total - free, "at most 80 % in use"
    text = f"{used} of {total} MB in use" if total else "none"
    if used > total * 0.8:
        return failed(text, expected, "end programs that use much memory, or set fewer workers")
    return passed(text, expected)


def ports(required: Mapping[int, str], busy: Collection[int], explicit: bool) -> Outcome:
    """Whether the forwards on 127.0.0.1 are free; a default block of ports moves by itself."""
    held = [port for port in required if port in busy]
    expected = f"{min(required)}..{max(required)} free on 127.0.0.1"
    if not held:
        return passed(f"all {len(required)} are free", expected)
    text = ", ".join(f"{port} ({required[port]})" for port in held) + " in use"
    if not explicit:
        return passed(f"{text}; other ports will be taken", expected)
    remedy = f"ss -ltnp 'sport = :{held[0]}' names the program; or leave network.ssh_port_base out"
    return failed(text, expected, remedy)


def overlap(name: str, cidr: str, networks: Sequence[HostNetwork], field: str, own: str = "") -> Outcome:
    """Whether a network of the lab overlaps none of the host; `own` is the lab's own network once it exists."""
    if cidr == "auto":
        return passed("a free one is selected", f"{name} not in use on this host")
    network, expected = ipaddress.ip_network(cidr), f"{name} {cidr} not in use on this host"
    hits = [one for one in networks if one.cidr != own and network.overlaps(ipaddress.ip_network(one.cidr))]
    if not hits:
        return passed("no overlap", expected)
    text = ", ".join(f"{one.cidr} on {one.interface or 'a route'}" for one in hits)
    return failed(f"overlaps {text}", expected, f"set {field} to another range in lab.yml")


def clock(now: float, newest: float) -> Outcome:
    """Whether the clock is not behind the files of this installation; both in seconds since the epoch."""
    behind, expected = newest - now, "not behind labctl's own files"
    if behind > 300:
        return failed(f"{behind / 3600:.1f} hours behind", expected, "sudo timedatectl set-ntp true")
    return passed("plausible", expected)


def resolver(text: str, offline: bool) -> Outcome:
    """Whether /etc/resolv.conf names a server."""
    servers = re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE)
    if servers:
        return passed(", ".join(servers), "a name server")
    if offline:
        return not_applicable("nothing is looked up outside: LABCTL_OFFLINE is set")
    remedy = "name one in your network settings (nameserver ADDRESS)"
    return failed("none in /etc/resolv.conf", "a name server", remedy)


def proxy(environ: Mapping[str, str], subnet: str) -> Outcome:
    """Whether the proxy settings are URLs; passwords in them are not shown."""
    named = {key: environ.get(key) or environ.get(key.upper(), "") for key in ("http_proxy", "https_proxy")}
    used = {key: value for key, value in named.items() if value}
    if not used:
        return passed("none", "none, or a URL")
    for key, value in used.items():
        if not _is_proxy_url(value):
            return failed(f"{key} is not a URL with a scheme", "http://HOST:PORT", f"export {key}=http://HOST:PORT")
    text = f"{', '.join(sorted(used))} set; the lab's own network {subnet} is reached without it"
    return passed(text, "none, or a URL")


def _is_proxy_url(value: str) -> bool:
    parts = urlsplit(value)
    try:
        return parts.scheme in ("http", "https", "socks5", "socks5h") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def locale(value: str, encoding: str) -> Outcome:
    """Whether files and terminals are read as UTF-8."""
    text = f"{value or 'default'}, {encoding}"
    if encoding.lower().replace("-", "") == "utf8":
        return passed(text, "UTF-8")
    return failed(text, "UTF-8", "export LC_ALL=C.UTF-8")


def runtime_path(directory: str) -> Outcome:
    """Whether the runtime directory leaves room for the paths of sockets, whose length the kernel limits."""
    length, most = len(directory.encode()), SOCKET_PATH_BYTES - SOCKET_NAME_BYTES
    text, expected = f"{directory}: {length} bytes", f"at most {most} bytes"
    return (
        passed(text, expected)
        if length <= most
        else failed(text, expected, "export XDG_RUNTIME_DIR=/run/user/$(id -u)")
    )


def inotify(unit: str, limit: int, in_use: int, needed: int) -> Outcome:
    """Whether the nodes of a lab get what they open of a `unit`: a kubelet that gets none does not start."""
    found, expected = f"{limit} for each user, {in_use} of root's in use", f"{in_use + needed} or more"
    if limit >= in_use + needed:
        return passed(found, expected)
    return failed(found, expected, inotify_remedy(unit, limit, in_use + needed))


def stale(what: str, files: Sequence[str]) -> Outcome:
    """Whether no file is left whose owner is gone."""
    if not files:
        return passed("none", f"no {what}")
    return failed(", ".join(files), f"no {what}", f"rm {' '.join(files)}", Repair(remove=tuple(files)))


def package_source(observed: Observed) -> Outcome:
    """Whether packages and images can be had at all: cached, reachable, or built here."""
    expected = "a bundle in the cache, a source that answers, or what a bundle is built from"
    if cached := [content for content in observed.bundles if content.kubernetes]:
        return passed(f"{len(cached)} bundle(s) in the cache", expected)
    able = [one for one in observed.buildable if one.possible and one.content.kubernetes]
    if able:
        best = f"{able[0].content.kubernetes} from {ORIGINS[able[0].origin]}"
        return passed(f"none cached; a bundle can be made here: {best}", expected)
    reasons = [one.reason for one in observed.buildable]
    return failed("; ".join(dict.fromkeys(filter(None, reasons))) or "none", expected, "labctl bundle import FILE")


def bundle_files(count: int, damaged: Sequence[str]) -> Outcome:
    """Whether every file of the cached bundles has its size."""
    expected = "every file with its size"
    if damaged:
        more = f" and {len(damaged) - 2} more" if len(damaged) > 2 else ""
        return failed("; ".join(damaged[:2]) + more, expected, "labctl bundle build")
    return passed(f"{count} files have their sizes", expected) if count else not_applicable("no bundle is cached")
