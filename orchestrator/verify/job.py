"""What a verify run is asked to do: the nodes, the cluster and the choice of checks, as the engine reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .report import LAYERS


@dataclass(frozen=True)
class Target:
    """One node: `ssh_argv` is `ssh`, its options and the destination, without a remote command.

    `variables` are the node's inventory variables with `group_names`. `unreachable` says in words why the
    node need not be tried (stopped, missing), None when it runs.
    """

    name: str
    ssh_argv: tuple[str, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    unreachable: str | None = None


@dataclass(frozen=True)
class ClusterTarget:
    """What the plan says the cluster should be; checks of it run once, through the control plane's session.

    `nodes` maps node name to planned address. `settle` is the time in seconds that is granted, once for the
    whole run, to what is still starting (right after provision); 0 judges what is there now. `patience` stretches
    every time limit, for machines that are as many times slower.
    """

    control_plane: str
    version: str
    nodes: Mapping[str, str]
    cni: str
    dns: str
    dns_domain: str = "cluster.local"
    dns_address: str = ""
    service_cidr: str = ""
    pod_cidr: str = ""
    web_image: str = "labctl/whoami:1"
    web_port: int = 8080
    shell_image: str = "labctl/shell:1"
    settle: float = 0.0
    patience: float = 1.0


@dataclass(frozen=True)
class HostTarget:
    """The host's side of a lab.

    `gateway` is the address that the host should have on the lab's network, empty where it has none; `server` is
    the URL at which the host reaches the API server, empty without Kubernetes; `newest` the time of the lab's
    newest file.
    """

    provider: str
    gateway: str = ""
    server: str = ""
    kubeconfig: str = ""
    newest: float = 0.0


@dataclass(frozen=True)
class Selection:
    """A choice of checks: each entry is `LAYER`, `NODE`, `LAYER/NODE` or a check's id; none means all."""

    entries: tuple[str, ...] = ()

    def takes(self, identity: str, layer: str, node: str) -> bool:
        """Whether a check of this id and layer on this node was chosen."""
        return not self.entries or any(self._matches(entry, identity, layer, node) for entry in self.entries)

    @staticmethod
    def _matches(entry: str, identity: str, layer: str, node: str) -> bool:
        if "/" in entry:
            wanted_layer, wanted_node = entry.split("/", 1)
            return wanted_layer in ("", layer) and wanted_node in ("", node)
        return entry in (identity, layer, node)

    def unknown(self, nodes: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
        """The entries that name no layer, node or check."""
        return tuple(entry for entry in self.entries if not self._known(entry, nodes, ids))

    @staticmethod
    def _known(entry: str, nodes: Sequence[str], ids: Sequence[str]) -> bool:
        if "/" in entry:
            layer, node = entry.split("/", 1)
            return bool(layer or node) and layer in ("", *LAYERS) and node in ("", *nodes)
        return entry in LAYERS or entry in nodes or entry in ids


@dataclass(frozen=True)
class Job:
    """One run: `files` are the check files, `limit` the seconds after which every check has its verdict.

    `direct` uses testinfra's stock SSH backend instead of one session per node. `patience` stretches the limits of
    single commands, for machines that are as many times slower.
    """

    targets: tuple[Target, ...]
    cluster: ClusterTarget | None
    files: tuple[str, ...]
    root: str
    selection: Selection = Selection()
    limit: float = 120
    direct: bool = False
    host: HostTarget | None = None
    patience: float = 1.0

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        body = json.loads(text)
        return cls(
            targets=tuple(Target(**{**one, "ssh_argv": tuple(one["ssh_argv"])}) for one in body["targets"]),
            cluster=ClusterTarget(**body["cluster"]) if body["cluster"] else None,
            files=tuple(body["files"]),
            root=body["root"],
            selection=Selection(tuple(body["selection"]["entries"])),
            limit=body["limit"],
            direct=body["direct"],
            host=HostTarget(**body["host"]) if body["host"] else None,
            patience=body["patience"],
        )
