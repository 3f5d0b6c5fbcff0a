"""`labctl snapshot`: all nodes as one point in time, and back to it; what is known of each lies in the lab's state."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab import cluster_recovery as revival
from orchestrator.lab import journal
from orchestrator.lab import lab_yml_edit as planned_count
from orchestrator.lab.converge import hand_over
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider, reported_nodes
from orchestrator.lab.pending import begin_operation, finish_operation
from orchestrator.lab.state import Lab, save_plan
from orchestrator.lab.verification import prove
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir, write_private
from orchestrator.providers import ssh_access
from orchestrator.spec import Spec
from orchestrator.verify import Report

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
RESTORE = "snapshot restore"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as the lab's state knows it: `tag` is what its parts are called with the provider.

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

    def as_dict(self) -> dict[str, Any]:
        """What a person or a program wants to know of it."""
        return {
            "name": self.name,
            "created": datetime.fromtimestamp(self.created, UTC).isoformat(timespec="seconds"),
            "machines": [node.name for node in self.plan.nodes],
            "kubernetes": self.plan.kubernetes.version if self.plan.kubernetes and self.cluster else "",
            "bytes": self.size,
        }


@dataclass(frozen=True)
class Restored:
    """What a restore did, in `seconds`; no report for a lab that had no cluster yet."""

    snapshot: Snapshot
    report: Report | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The result as the one document `labctl/snapshot-restore/v1`."""
        return {
            "schema": "labctl/snapshot-restore/v1",
            "lab": self.snapshot.plan.name,
            "snapshot": self.snapshot.as_dict(),
            "seconds": round(self.seconds, 1),
            "verify": self.report.as_dict() if self.report else None,
        }


def known(directory: LabDir) -> list[Snapshot]:
    """The lab's snapshots, oldest first; a record that cannot be read is none."""
    found = []
    for file in _records(directory).glob("*.json"):
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            plan = Plan.from_json(json.dumps(kept.pop("plan")))
            found.append(Snapshot(**kept, plan=plan))
        except (OSError, KeyError, TypeError, ValueError):
            continue
    return sorted(found, key=lambda snapshot: snapshot.created)


def find(lab: Lab, name: str) -> Snapshot:
    """The snapshot of this name. Raises SpecError with the names that exist."""
    there = known(lab.directory)
    for snapshot in there:
        if snapshot.name == name:
            return snapshot
    names = ", ".join(snapshot.name for snapshot in there)
    fix = f"one of: {names}" if names else f"labctl snapshot save {name}"
    raise SpecError(f"{lab.plan.name} has no snapshot {name!r}", fix=fix)


def check_new(lab: Lab, name: str) -> None:
    """Raise SpecError for a name that is taken or none, or for a lab whose provider keeps no snapshots."""
    if not NAME.fullmatch(name):
        raise SpecError(
            f"{name!r} is not a name: 1 to 40 small letters, digits and dashes, a letter or digit at both ends",
            fix="labctl snapshot save before-upgrade",
        )
    with open_provider(lab.plan.provider) as provider:
        able = provider.capabilities(lab.plan)
    if not able.snapshot:
        raise SpecError(
            f"{lab.plan.name} cannot be saved: {able.reasons.get('snapshot', 'its provider keeps no snapshots')}",
            fix="keep what you need by hand (labctl cp), or use another provider",
        )
    for snapshot in known(lab.directory):
        if snapshot.name == name:
            raise SpecError(
                f"there is a snapshot {name!r} already, of {snapshot.time}",
                fix=f"another name, or: labctl snapshot delete {name}",
            )
    if half := journal.unfinished(lab.directory):
        where = f" in: {half.phase}" if half.phase else ""
        # Whoever works on the lab right now is found by its lock, and told by name.
        if half.verb not in ("snapshot save", "snapshot delete", "halt") and not _running(lab.directory):
            raise ProviderError(
                f"the lab is half-made: `labctl {half.verb}` of {half.began} was killed{where}", fix="labctl provision"
            )


def _running(directory: LabDir) -> bool:
    run = journal.last_run(directory)
    return run is not None and run.result == "running"


def save(lab: Lab, name: str, emit: Emit) -> Snapshot:
    """Keep all nodes as they are now, all or nothing. Raises SpecError, HostError, ProviderError, LockedError."""
    inputs = {"name": name}
    with exclusive_lock(lab.directory, "snapshot save"):
        check_new(lab, name)
        with journal.recorded(lab.directory, "snapshot save", emit, inputs) as told:
            tag = f"{name}.{uuid.uuid4().hex[:8]}"
            title = f"Save {len(lab.plan.nodes)} machines as {name}"
            with open_provider(lab.plan.provider, told) as provider, phase(told, "save", title):
                # What a save that was killed left has a tag that no record names.
                provider.forget(lab.plan, lab.directory, _tags(lab.directory), told, "save")
                size = provider.save(lab.plan, lab.directory, tag, told, "save")
            cluster = lab.plan.kubernetes is None or lab.directory.kubeconfig.exists()
            snapshot = Snapshot(name, tag, time.time(), size, cluster, lab.plan)
            _write(lab.directory, snapshot)
        return snapshot


def restore(lab: Lab, snapshot: Snapshot, emit: Emit, *, asked: Spec | None = None) -> Restored:
    """Make the lab what it was and prove it; `asked` is lab.yml, whose number of workers follows.

    Killed at any moment, the same command does it again, and nothing else touches the lab before.
    """
    began = time.monotonic()
    plan, directory = snapshot.plan, lab.directory
    with (
        exclusive_lock(directory, RESTORE),
        journal.recorded(directory, RESTORE, emit, {"name": snapshot.name}) as told,
        open_provider(plan.provider, told) as provider,
    ):
        with phase(told, "restore", f"Bring {len(plan.nodes)} machines back to {snapshot.time}"):
            _close_connections(lab)
            begin_operation(directory, RESTORE, f"labctl snapshot restore {snapshot.name}")
            nodes = provider.restore(plan, directory, snapshot.tag, told, "restore")
            save_plan(directory, plan)
            if asked is not None:
                _follow(plan, asked, told)
        report = _prove(snapshot, Lab(directory, plan), nodes, told)
        finish_operation(directory)
    return Restored(snapshot, report, time.monotonic() - began)


def delete(lab: Lab, snapshot: Snapshot, emit: Emit) -> None:
    """Remove one snapshot; its record goes first, so that a kill leaves parts that the next save or delete removes."""
    with (
        exclusive_lock(lab.directory, "snapshot delete"),
        journal.recorded(lab.directory, "snapshot delete", emit, {"name": snapshot.name}) as told,
        open_provider(lab.plan.provider, told) as provider,
        phase(told, "delete", f"Delete the snapshot {snapshot.name}"),
    ):
        _record(lab.directory, snapshot.name).unlink(missing_ok=True)
        provider.forget(snapshot.plan, lab.directory, _tags(lab.directory), told, "delete")


def lines_of_restore(lab: Lab, snapshot: Snapshot) -> list[str]:
    """What a restore would do, in sentences."""
    kept = {node.name for node in snapshot.plan.nodes}
    lines = [f"bring {node.name} back to {snapshot.time}" for node in snapshot.plan.nodes]
    lines += [
        f"remove {node.name}, which the snapshot does not have" for node in lab.plan.nodes if node.name not in kept
    ]
    return [*lines, "verify the lab"] if snapshot.cluster else lines


def _prove(snapshot: Snapshot, lab: Lab, nodes: Sequence[Node], emit: Emit) -> Report | None:
    if not snapshot.cluster:
        lab.directory.kubeconfig.unlink(missing_ok=True)
        emit(Note(phase="restore", text="there was no cluster yet: labctl provision goes on from here"))
        return None
    if lab.plan.kubernetes is not None:
        hand_over(lab.plan, lab.directory, tuple(nodes), lambda question: False, emit)
        with phase(emit, "wait", "Wait until every node reports to the API server again"):
            revival.wait(lab, snapshot.created)
    return prove(lab, emit)


def _close_connections(lab: Lab) -> None:
    ssh_access.end_connections(lab.plan.uuid)
    for node in reported_nodes(lab):
        ssh_access.end_shared(node.ssh_user, node.ssh_port, node.ssh_host)


def _follow(plan: Plan, asked: Spec, emit: Emit) -> None:
    """Write the restored number of workers into a lab.yml that names another one, as scale does."""
    if asked.file and asked.is_explicit("workers.count") and asked.lab.workers.count != len(plan.workers):
        planned_count.write(asked.file, len(plan.workers))
        emit(Note(phase="restore", text=f"wrote workers.count: {len(plan.workers)} into {asked.file}, as it was"))


def _records(directory: LabDir) -> Path:
    return directory.root / "snapshots"


def _record(directory: LabDir, name: str) -> Path:
    return _records(directory) / f"{name}.json"


def _tags(directory: LabDir) -> set[str]:
    return {snapshot.tag for snapshot in known(directory)}


def _write(directory: LabDir, snapshot: Snapshot) -> None:
    """The moment from which the snapshot exists."""
    _records(directory).mkdir(mode=0o700, exist_ok=True)
    body: Mapping[str, Any] = {**asdict(snapshot), "plan": json.loads(snapshot.plan.as_json())}
    write_private(_record(directory, snapshot.name), json.dumps(body, indent=2) + "\n")
