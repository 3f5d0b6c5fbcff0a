"""What nodes and this host reach of each other, folders and ports: a part of the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mount:
    """A folder of this host, by its absolute path, that is `target` in the nodes, read-only unless `writable`."""

    host: str
    target: str
    nodes: tuple[str, ...]
    writable: bool = False

    def __str__(self) -> str:
        access = "writable" if self.writable else "read-only"
        return f"{self.host} at {self.target} of {', '.join(self.nodes)} ({access})"


@dataclass(frozen=True)
class Forward:
    """A TCP port of a node that is `host_port` under an address of this host."""

    node: str
    port: int
    host_port: int
    address: str

    def __str__(self) -> str:
        return f"{self.address}:{self.host_port} to {self.node}:{self.port}"
