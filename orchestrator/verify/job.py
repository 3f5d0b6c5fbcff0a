"""What one run of the checks is about: the nodes, the cluster and the selection, as the engine's process reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.checks.model import LAYERS

# Images that a lab's own pods of the checks run.
WEB_IMAGE, SHELL_IMAGE = "labctl/whoami:1", "labctl/shell:1"


@dataclass(frozen=True)
class Target:
    """One node: `ssh_argv` is `ssh`, its options and the destination, without a remote command.

    `variables` are the node's inventory variables with `group_names`. `unreachable` is the reason why the
    node need not be tried (stopped, missing), None when it runs.
    """

    name: str
    ssh_argv: tuple[str, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    unreachable: str | None = None


@dataclass(frozen=True)
class ClusterTarget:
    """The cluster as the plan has it; checks of it run once, through the control plane's session.

    `nodes` maps node name to planned address, `dns` names the server of the cluster's names, `network_policy` says
    whether kube-router enforces policies. `settle` is the time in seconds that is granted, once for the
    whole run, to what is still starting (right after provision). `timeout_factor` multiplies every time limit, for
    machines that are as many times slower.
    """

    control_plane: str
    version: str
    nodes: Mapping[str, str]
    cni: str
    dns_domain: str = "cluster.local"
    dns_address: str = ""
    pod_cidr: str = ""
    dns: str = ""
    network_policy: bool = False
    cgroup_driver: str = ""
    allow_cgroup_v1: bool = False
    web_image: str = WEB_IMAGE
    web_port: int = 8080
    shell_image: str = SHELL_IMAGE
    settle: float = 0.0
    timeout_factor: float = 1.0


@dataclass(frozen=True)
class HostTarget:
    """The host's side of a lab.

    `gateway` is the address that the host should have on the lab's network, empty where it has none; `server` is
    the URL at which the host reaches the API server, empty without Kubernetes; `newest` the time of the lab's
    newest file.
    """

    gateway: str = ""
    server: str = ""
    kubeconfig: str = ""
    newest: float = 0.0


@dataclass(frozen=True)
class Selection:
    """A choice of checks: each entry is `LAYER`, `NODE`, `LAYER/NODE` or a check's id; none means all."""

    entries: tuple[str, ...] = ()

    def takes(self, identity: str, layer: str, node: str) -> bool:
        """Whether a check of this id and layer on this node is selected."""
        return not self.entries or any(_matches(entry, identity, layer, node) for entry in self.entries)

    def unknown(self, nodes: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
        """The entries that name no layer, node or check."""
        return tuple(entry for entry in self.entries if not _is_known(entry, nodes, ids))


def _matches(entry: str, identity: str, layer: str, node: str) -> bool:
    entry_layer, slash, entry_node = entry.partition("/")
    if slash:
        return entry_layer in ("", layer) and entry_node in ("", node)
    return entry in (identity, layer, node)


def _is_known(entry: str, nodes: Sequence[str], ids: Sequence[str]) -> bool:
    layer, slash, node = entry.partition("/")
    if slash:
        return bool(layer or node) and layer in ("", *LAYERS) and node in ("", *nodes)
    return entry in (*LAYERS, *nodes, *ids)


@dataclass(frozen=True)
class Job:
    """One run: `files` are the check files, `limit` the seconds after which every check has its result.

    `direct` uses testinfra's stock SSH backend instead of one session per node. `timeout_factor` multiplies the
    limits of single commands, for machines that are as many times slower.
    """

    targets: tuple[Target, ...]
    cluster: ClusterTarget | None
    files: tuple[str, ...]
    root: str
    selection: Selection = Selection()
    limit: float = 120
    direct: bool = False
    host: HostTarget | None = None
    timeout_factor: float = 1.0

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        body = json.loads(text)
        body["targets"] = tuple(Target(**{**one, "ssh_argv": tuple(one["ssh_argv"])}) for one in body["targets"])
        body["cluster"] = ClusterTarget(**body["cluster"]) if body["cluster"] else None
        body["host"] = HostTarget(**body["host"]) if body["host"] else None
        body["selection"] = Selection(tuple(body["selection"]["entries"]))
        return cls(**{**body, "files": tuple(body["files"])})
