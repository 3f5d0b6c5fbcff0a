"""The snapshots of a lab: a record of each in the lab's state, written once all its parts exist."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.lab.state import Lab
from orchestrator.model import Plan
from orchestrator.paths import LabDir, write_private


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as the lab's state records it: `tag` is what its parts are called with the provider.

    `created` in seconds since the epoch, `size` in bytes (0: unknown); `cluster` says whether there was one.
    """

    name: str
    tag: str
    created: float
    size: int
    cluster: bool
    plan: Plan

    @property
    def time(self) -> str:
        return datetime.fromtimestamp(self.created, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")

    @property
    def kubernetes(self) -> str:
        """The version of its cluster; empty when it has none."""
        return self.plan.kubernetes.version if self.plan.kubernetes and self.cluster else ""

    def as_dict(self) -> dict[str, Any]:
        """The snapshot as JSON-ready data."""
        return {
            "name": self.name,
            "created": datetime.fromtimestamp(self.created, UTC).isoformat(timespec="seconds"),
            "machines": [node.name for node in self.plan.nodes],
            "kubernetes": self.kubernetes,
            "bytes": self.size,
        }


def list_snapshots(directory: LabDir) -> list[Snapshot]:
    """The lab's snapshots, oldest first, without records that cannot be read."""
    snapshots = []
    for file in record_file(directory, "").parent.glob("*.json"):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            plan = Plan.from_json(json.dumps(record.pop("plan")))
            snapshots.append(Snapshot(**record, plan=plan))
        except (OSError, KeyError, TypeError, ValueError):
            continue
    return sorted(snapshots, key=lambda snapshot: snapshot.created)


def find_snapshot(lab: Lab, name: str) -> Snapshot:
    """The snapshot of this name. Raises SpecError with the names that exist."""
    existing = {snapshot.name: snapshot for snapshot in list_snapshots(lab.directory)}
    if name not in existing:
        fix = f"one of: {', '.join(existing)}" if existing else f"labctl snapshot save {name}"
        raise SpecError(f"{lab.plan.name} has no snapshot {name!r}", fix=fix)
    return existing[name]


def record_file(directory: LabDir, name: str) -> Path:
    """Where the record of a snapshot is kept."""
    return directory.root / "snapshots" / f"{name}.json"


def write_record(directory: LabDir, snapshot: Snapshot) -> None:
    """Write the record; from this moment the snapshot exists."""
    file = record_file(directory, snapshot.name)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    body = {**asdict(snapshot), "plan": json.loads(snapshot.plan.as_json())}
    write_private(file, json.dumps(body, indent=2) + "\n")
