"""CoreDNS' Corefile: its server blocks, and what a cluster needs of them."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

# The address in SCHEME://ADDRESS:PORT, an IPv6 address with a port in brackets.
_ADDRESS = re.compile(r"^(?:\w+://)?(?:\[(.*)\]|([^:]*|.*:.*:.*?))(?::\d+)?$")


@dataclass(frozen=True)
class Directive:
    """One line of a server block: a plugin and its arguments."""

    plugin: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerBlock:
    """A server block: the zones it answers for, with ports, and its plugins."""

    keys: tuple[str, ...]
    directives: list[Directive] = field(default_factory=list)

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones without scheme, port and last dot; the root zone is empty."""
        return tuple(_zone(key) for key in self.keys)

    def arguments_of(self, plugin: str) -> list[tuple[str, ...]]:
        return [one.arguments for one in self.directives if one.plugin == plugin]


def _zone(name: str) -> str:
    return name.rpartition("://")[2].partition(":")[0].rstrip(".").lower()


def parse(text: str) -> list[ServerBlock]:
    """The server blocks of a Corefile. Raises ValueError where its braces are not in pairs."""
    blocks: list[ServerBlock] = []
    depth, keys = 0, []
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line, number)
        opens = words[-1:] == ["{"]
        if words == ["}"]:
            depth -= 1
            if depth < 0:
                raise ValueError(f"line {number} closes a block that none opened")
        elif depth == 0 and words:
            keys += [word.rstrip(",") for word in (words[:-1] if opens else words)]
            if opens:
                blocks.append(ServerBlock(tuple(keys)))
                keys = []
        elif depth == 1 and words:
            blocks[-1].directives.append(Directive(words[0], tuple(words[1:-1] if opens else words[1:])))
        depth += opens
    if depth or keys:
        raise ValueError("a block is not closed" if depth else f"{keys[0]} has no block")
    return blocks


def _words(line: str, number: int) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        raise ValueError(f"line {number} has a quote without its end") from None


def problems(text: str, domain: str, dns_address: str) -> list[str]:
    """What a Corefile lacks for a cluster of this domain, or does to itself; empty when it is sound."""
    try:
        blocks = parse(text)
    except ValueError as error:
        return [str(error)]
    forwards = [one for block in blocks for one in block.arguments_of("forward")]
    found = [
        f"forward {' '.join(arguments)} leads back to CoreDNS itself"
        for arguments in forwards
        if any(_is_itself(target, dns_address) for target in arguments[1:])
    ]
    # What an import brings is not known here.
    if any(block.arguments_of("import") or block.arguments_of("template") for block in blocks):
        return found
    plugins = {one.plugin for block in blocks for one in block.directives}
    if not any(_answers_for(block, domain) for block in blocks):
        found.append(f"no server block has the plugin kubernetes for {domain}")
    if not any(arguments[:1] == (".",) for arguments in forwards):
        found.append("nothing is forwarded: names outside the cluster have no answer")
    return found + [f"the plugin {name} is missing" for name in ("health", "ready") if name not in plugins]


def _answers_for(block: ServerBlock, domain: str) -> bool:
    """Whether queries for the domain reach the block, and its plugin kubernetes answers them."""
    zones = [arguments or block.keys for arguments in block.arguments_of("kubernetes")]
    return any(_within(domain, zone) for zone in block.zones) and any(
        _within(domain, _zone(name)) for names in zones for name in names
    )


def _within(domain: str, zone: str) -> bool:
    return f".{domain.lower()}".endswith(f".{zone}" if zone else "")


def _is_itself(target: str, dns_address: str) -> bool:
    """Whether a forward's target is a loopback address, which in a pod is the pod, or the cluster's DNS address."""
    host = _ADDRESS.sub(r"\1\2", target)
    try:
        return ipaddress.ip_address(host).is_loopback or host == dns_address
    except ValueError:  # the name of a file, which is the node's matter
        return False


def loops(servers: Iterable[str], dns_address: str) -> list[str]:
    """Those DNS servers of a resolv.conf that lead a pod of CoreDNS back to itself."""
    return [server for server in servers if _is_itself(server, dns_address)]
