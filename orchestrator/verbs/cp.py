"""`labctl cp` and `labctl export ssh-config`: the lab's nodes for OpenSSH's own programs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, proc
from orchestrator.errors import ProviderError, SpecError
from orchestrator.lab import node_selection as selection
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.providers import ssh_access


@dataclass(frozen=True)
class Copy:
    """One scp to be: `sources` and `target` as scp takes them."""

    sources: tuple[str, ...]
    target: str

    def __str__(self) -> str:
        return f"copy {', '.join(self.sources)} to {self.target}"


def ssh_config(lab: Lab, nodes: Sequence[Node] | None = None) -> str:
    """An ssh_config with one Host per node: `ssh -F FILE m-k8s` logs in with the lab's key, host key pinned."""
    pairs = ssh_access.options(lab.directory, shared=False)[1::2]
    common = [pair.replace("=", " ", 1) for pair in pairs if not pair.startswith("LogLevel")]
    blocks = [f"# The nodes of {lab.plan.name} ({lab.directory.root}), written by labctl."]
    for node in reported_nodes(lab) if nodes is None else nodes:
        place = [f"HostName {node.ssh_host}", f"Port {node.ssh_port}", f"User {node.ssh_user}"]
        blocks.append("\n".join([f"Host {node.name}", *(f"    {_quoted(line)}" for line in (*place, *common))]))
    return "\n\n".join(blocks) + "\n"


def _quoted(line: str) -> str:
    """ssh_config takes a value with blanks only in double quotes."""
    key, _, value = line.partition(" ")
    return f'{key} "{value}"' if " " in value else line


def copies(lab: Lab, places: Sequence[str]) -> list[Copy]:
    """What a `cp` line means. A place `PATTERN:PATH` is on nodes, any other on this host; the last is the target.

    Raises SpecError for a pattern without a node, for a source on several nodes, and for host to host.
    """
    if len(places) < 2:
        raise SpecError("cp needs what to copy and where to", fix="labctl cp FILE w1-k8s:/tmp/")
    parsed = [_place(lab, place) for place in places]
    for place, (names, _) in zip(places[:-1], parsed[:-1], strict=True):
        if len(names) > 1:
            raise SpecError(
                f"{place} is on {len(names)} nodes; a source is on one", fix=f"name one of {', '.join(names)}"
            )
    if not any(names for names, _ in parsed):
        raise SpecError("neither side is on a node", fix="labctl cp FILE NODE:PATH, or labctl cp NODE:PATH FILE")
    for place, (names, path) in zip(places[:-1], parsed[:-1], strict=True):
        if not names and not Path(path).exists():
            raise SpecError(f"there is no {place} on this host", fix="name a file that exists")
    sources = tuple(_scp(names[0] if names else "", path) for names, path in parsed[:-1])
    names, path = parsed[-1]
    return [Copy(sources, _scp(name, path)) for name in names or ("",)]


def copy(lab: Lab, wanted: Sequence[Copy], *, timeout: float = 3600) -> None:
    """Do the copies one after the other. Raises ProviderError for a node that is down, SpecError when scp fails."""
    nodes = {node.name: node for node in reported_nodes(lab)}
    for name in _nodes_of(wanted):
        if nodes[name].state != "running":
            raise ProviderError(f"{name} is {nodes[name].state}", fix="labctl start")
    with tempfile.TemporaryDirectory(prefix="labctl-", dir=paths.runtime_dir()) as directory:
        config = Path(directory, "config")
        config.write_text(ssh_config(lab, tuple(nodes.values())), encoding="utf-8")
        for each in wanted:
            # -3: between two nodes the bytes go through this host, which alone can log in to both.
            argv = ["scp", "-q", "-r", "-p", "-3", "-F", str(config), "--", *each.sources, each.target]
            try:
                proc.run(argv, timeout=timeout)
            except proc.ProcessFailed as problem:
                raise SpecError(
                    f"cannot {each}: {problem.result.tail}", fix="check both paths and labctl status"
                ) from None


def _place(lab: Lab, place: str) -> tuple[tuple[str, ...], str]:
    pattern, colon, path = place.partition(":")
    if not colon or "/" in pattern:
        return (), place
    return tuple(node.name for node in selection.chosen(lab.plan, pattern)), path or "."


def _scp(node: str, path: str) -> str:
    if node:
        return f"{node}:{path}"
    # A name with a colon in it would be taken for a host.
    return f"./{path}" if ":" in path and not path.startswith(("/", ".")) else path


def _nodes_of(wanted: Sequence[Copy]) -> list[str]:
    places = [place for each in wanted for place in (*each.sources, each.target)]
    return sorted({place.partition(":")[0] for place in places if ":" in place and "/" not in place.partition(":")[0]})
