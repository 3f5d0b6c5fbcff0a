"""What macOS tells of itself, read from the output of its own programs. Read up: no Mac was there to try it on."""

from __future__ import annotations

import ipaddress
import re

# How `sysctl` is asked for the memory in bytes, and which program tells what of it is free.
MEMORY = ("sysctl", "-n", "hw.memsize")
FREE_MEMORY = ("vm_stat",)
INTERFACES = ("ifconfig", "-a")
_PAGE = 4096


def memory_total(text: str) -> int:
    """The machine's memory in MB from `sysctl -n hw.memsize`; 0 when it does not say."""
    return int(text) // 2**20 if text.strip().isdigit() else 0


def memory_available(text: str) -> int:
    """The memory in MB that processes can still get, from `vm_stat`: free, inactive and speculative pages."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|inactive|speculative):\s+(\d+)\.", text, re.MULTILINE)
    return sum(map(int, pages)) * (int(size.group(1)) if size else _PAGE) // 2**20


def networks(text: str) -> tuple[tuple[str, str], ...]:
    """Interface and IPv4 network in CIDR notation of every address in `ifconfig -a`, loopback left out.

    A netmask is one hexadecimal number there: 0xffffff00.
    """
    found, interface = [], ""
    for line in text.splitlines():
        if match := re.match(r"(\S+): flags", line):
            interface = match.group(1)
        elif match := re.match(r"\s+inet (\S+) (?:--> \S+ )?netmask 0x([0-9a-f]{8})", line):
            mask = ipaddress.IPv4Address(int(match.group(2), 16))
            network = ipaddress.ip_interface(f"{match.group(1)}/{mask}").network
            if not network.is_loopback:
                found.append((interface, str(network)))
    return tuple(found)
