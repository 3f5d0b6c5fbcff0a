"""What a verify run found: one result per check and node, and the document `labctl/verify/v1`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "failed", "warning", "not_applicable", "not_run", "error"]
Severity = Literal["error", "warning"]

SCHEMA = "labctl/verify/v1"
STATUSES: tuple[Status, ...] = ("failed", "error", "warning", "not_run", "not_applicable", "ok")
LAYERS = ("host", "machine", "system", "runtime", "kubelet", "control_plane", "network", "dns", "workload")


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check on one node; `node` is empty for a check that runs once for the whole cluster.

    `failed` and `warning` differ by the check's severity; `error` means that the check got no answer;
    `not_run` that something it needs has failed, `evidence` naming that. `seconds` is the check's own time.
    """

    id: str
    layer: str
    node: str
    status: Status
    severity: Severity = "error"
    title: str = ""
    evidence: str = ""
    remedy: str = ""
    seconds: float = 0.0

    @property
    def place(self) -> str:
        """Where it was looked: the node, or the word for what the check was about."""
        return self.node or ("host" if self.layer == "host" else "cluster")

    @property
    def bad(self) -> bool:
        return self.status in ("failed", "error")


@dataclass(frozen=True)
class Report:
    """All results of one run over `lab`, started at `at` (seconds since the epoch) and finished after `seconds`."""

    lab: str
    at: float
    seconds: float
    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed and every check that applies got its answer."""
        return not any(result.bad or result.status == "not_run" for result in self.results)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes in the order of the lab."""
        return tuple(dict.fromkeys(result.node for result in self.results if result.node))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that occur, in the order in which one stands on the other."""
        return tuple(sorted({result.layer for result in self.results}, key=layer_rank))

    def count(self, *statuses: Status, layer: str | None = None, node: str | None = None) -> int:
        """How many results have one of these statuses, in one layer or on one node if asked for."""
        return len(
            [
                result
                for result in self.results
                if result.status in statuses
                and (layer is None or result.layer == layer)
                and (node is None or result.node == node)
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as the one document `labctl/verify/v1` (docs/verify.schema.json)."""
        started = datetime.datetime.fromtimestamp(self.at, tz=datetime.UTC)
        return {
            "schema": SCHEMA,
            "lab": self.lab,
            "time": started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "summary": {status: self.count(status) for status in STATUSES},
            "checks": [{**asdict(result), "seconds": round(result.seconds, 4)} for result in self.results],
        }


def layer_rank(layer: str) -> tuple[int, str]:
    """A sort key: layers in the order of the machine, unknown ones last by name."""
    return (LAYERS.index(layer) if layer in LAYERS else len(LAYERS), layer)


def ordered(results: Iterable[CheckResult], nodes: Iterable[str]) -> tuple[CheckResult, ...]:
    """Results by layer, then in the order of the checks' first appearance, then by node of the lab."""
    found = list(results)
    rank = {name: index for index, name in enumerate(nodes)}
    first = {identity: index for index, identity in enumerate(dict.fromkeys(result.id for result in found))}
    return tuple(sorted(found, key=lambda r: (layer_rank(r.layer), first[r.id], rank.get(r.node, -1))))
