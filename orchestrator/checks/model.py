"""What a check is, what it found, and the report of one run: the one model of `labctl verify` and `labctl doctor`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "failed", "warning", "not_applicable", "not_run", "error"]
Severity = Literal["error", "warning"]

STATUSES: tuple[Status, ...] = ("failed", "error", "warning", "not_run", "not_applicable", "ok")
LAYERS = ("host", "machine", "system", "runtime", "kubelet", "control_plane", "network", "dns", "workload")


@dataclass(frozen=True)
class Repair:
    """What `doctor --fix` may do by itself: install packages, or remove stale files."""

    packages: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What evaluating a check gave; an empty `remedy` stands for the one that the check declares."""

    status: Status
    evidence: str = ""
    expected: str = ""
    remedy: str = ""
    repair: Repair | None = None


def passed(evidence: str = "", expected: str = "") -> Outcome:
    """The outcome of a check whose requirement is met."""
    return Outcome("ok", evidence, expected)


def failed(evidence: str, expected: str = "", remedy: str = "", repair: Repair | None = None) -> Outcome:
    """The outcome of a check whose requirement is not met."""
    return Outcome("failed", evidence, expected, remedy, repair)


def not_applicable(reason: str) -> Outcome:
    """The outcome of a check that has nothing to look at here."""
    return Outcome("not_applicable", reason)


@dataclass(frozen=True)
class Check:
    """The declaration of a check: `after` names the checks without which it would only repeat their failure.

    `remedy` is a command, in which `{node}` is the node's name; `test` is the function that evaluates the check;
    `pod_network` says that there is nothing to check before the cluster has one, `settles` that what it looks at may
    come some seconds after the roles have ended.
    """

    id: str
    title: str
    layer: str = "host"
    severity: Severity = "error"
    remedy: str = ""
    after: tuple[str, ...] = ()
    test: str = ""
    pod_network: bool = False
    settles: bool = False

    def result(self, outcome: Outcome, node: str = "", seconds: float = 0.0) -> Result:
        """The result of the check on a node; a failure of a check of severity warning is a warning."""
        status = "warning" if outcome.status == "failed" and self.severity == "warning" else outcome.status
        remedy = outcome.remedy or (self.remedy.replace("{node}", node) if node else self.remedy)
        return Result(
            id=self.id,
            layer=self.layer,
            node=node,
            status=status,
            severity=self.severity,
            title=self.title,
            evidence=outcome.evidence,
            remedy=remedy if status in ("failed", "warning", "error") else "",
            seconds=seconds,
            expected=outcome.expected,
            repair=outcome.repair,
        )


@dataclass(frozen=True)
class Result:
    """The result of one check on one node; `node` is empty for a check that runs once, on the cluster or the host.

    `failed` and `warning` differ by the check's severity; `error` means that the check got no answer; `not_run` that
    a check it depends on has failed, `evidence` naming that. `seconds` is the check's own time.
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
    expected: str = ""
    repair: Repair | None = None

    @property
    def place(self) -> str:
        """The node, or what the check is about where it is about no single node."""
        return self.node or ("host" if self.layer == "host" else "cluster")

    @property
    def bad(self) -> bool:
        return self.status in ("failed", "error")

    @property
    def repairable(self) -> bool:
        return self.repair is not None

    @property
    def headline(self) -> str:
        """The first line of the evidence."""
        return next(iter(self.evidence.splitlines()), "")


@dataclass(frozen=True)
class ReportKind:
    """What differs between the reports of two commands; `fields` names the fields of a result in the document.

    `unit` is what a result is called, `layer` what its layer is.
    """

    schema: str
    command: str
    success: str
    fields: Mapping[str, str]
    names_lab: bool = False
    unit: str = "checks"
    layer: str = "layer"


_SHARED = {name: name for name in ("id", "title", "status", "seconds")}
_OF_LAB = {name: name for name in ("layer", "node", "severity", "evidence", "remedy")}
_OF_HOST = {"evidence": "found", "expected": "required", "remedy": "fix", "repairable": "repairable"}
VERIFY = ReportKind("labctl/verify/v1", "labctl verify", "healthy", _SHARED | _OF_LAB, names_lab=True)
DOCTOR = ReportKind("labctl/doctor/v1", "labctl doctor", "ready", _SHARED | _OF_HOST)
_OF_SPEC = {"layer": "group", "evidence": "evidence"}
CONFORMANCE = ReportKind(
    "labctl/conformance/v1", "labctl conformance", "conformant", _SHARED | _OF_SPEC, True, "specs", "group"
)


@dataclass(frozen=True)
class Report:
    """All results of one run over `subject` (a lab, or this host); `at` is its start in seconds since the epoch.

    `notes` are lines for people about what the results mean together.
    """

    subject: str
    at: float
    seconds: float
    results: tuple[Result, ...]
    kind: ReportKind = VERIFY
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed and every check that applies got its answer."""
        return not any(result.bad or result.status == "not_run" for result in self.results)

    @property
    def schema(self) -> str:
        return self.kind.schema

    @property
    def started(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.at, tz=datetime.UTC)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes in the order of the lab."""
        return tuple(dict.fromkeys(result.node for result in self.results if result.node))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that occur, in the order in which one stands on the other."""
        return tuple(sorted({result.layer for result in self.results}, key=layer_rank))

    @property
    def problems(self) -> tuple[Result, ...]:
        """What failed, got no answer or is a warning, in this order."""
        return tuple(one for status in STATUSES[:3] for one in self.results if one.status == status)

    def select(self, *statuses: Status, layer: str | None = None, node: str | None = None) -> tuple[Result, ...]:
        """The results with one of these statuses, in one layer or on one node if given."""
        return tuple(
            result
            for result in self.results
            if result.status in statuses and layer in (None, result.layer) and node in (None, result.node)
        )

    def count(self, *statuses: Status, layer: str | None = None, node: str | None = None) -> int:
        """How many results have one of these statuses, in one layer or on one node if given."""
        return len(self.select(*statuses, layer=layer, node=node))

    def as_dict(self) -> dict[str, Any]:
        """The report as its JSON document (docs/verify.schema.json, docs/doctor.schema.json)."""
        head = {"lab": self.subject} if self.kind.names_lab else {}
        counts = {"summary": {status: self.count(status) for status in STATUSES}} if self.kind.names_lab else {}
        return {
            "schema": self.schema,
            **head,
            "time": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            **counts,
            "checks": [
                {name: getattr(result, field) for field, name in self.kind.fields.items()}
                | {"seconds": round(result.seconds, 4)}
                for result in self.results
            ],
        }


def layer_rank(layer: str) -> tuple[int, str]:
    """A sort key: layers in the order of the machine, unknown ones last by name."""
    return (LAYERS.index(layer) if layer in LAYERS else len(LAYERS), layer)


def sort_results(results: Iterable[Result], nodes: Iterable[str]) -> tuple[Result, ...]:
    """Results by layer, then in the order of the checks' first appearance, then by node of the lab."""
    listed = list(results)
    rank = {name: index for index, name in enumerate(nodes)}
    first = {identity: index for index, identity in enumerate(dict.fromkeys(result.id for result in listed))}
    return tuple(sorted(listed, key=lambda r: (layer_rank(r.layer), first[r.id], rank.get(r.node, -1))))
