"""`labctl snapshot`: save all machines as one point in time, and restore them to it."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from orchestrator.checks.model import Report
from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, Note, phase
from orchestrator.lab.cluster_recovery import wait_until_recovered
from orchestrator.lab.convergence import install_kubeconfig
from orchestrator.lab.host_setup import refuse_problems
from orchestrator.lab.journal import changing, last_run, recorded
from orchestrator.lab.lab_yml_edit import write_worker_count
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.observed_lab import ObservedLab, observe_with
from orchestrator.lab.pending import begin_operation, finish_operation
from orchestrator.lab.power import end_connections
from orchestrator.lab.result import Result
from orchestrator.lab.snapshots import Snapshot, list_snapshots, record_file, write_record
from orchestrator.lab.state import Lab, save_plan
from orchestrator.lab.verification import wait_until_healthy
from orchestrator.model import Plan
from orchestrator.paths import LabDir
from orchestrator.providers.conflicts import folder_problems
from orchestrator.spec import Spec

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
SAVE, RESTORE, DELETE = "snapshot save", "snapshot restore", "snapshot delete"


@dataclass(frozen=True)
class SaveResult(Result):
    """The snapshot that was saved."""

    lab: str
    snapshot: Snapshot
    schema = "labctl/snapshot-save/v1"

    def as_dict(self) -> dict[str, Any]:
        """The body of the document."""
        return {"lab": self.lab, "snapshot": self.snapshot.as_dict()}


@dataclass(frozen=True)
class ListResult(Result):
    """The snapshots of a lab, oldest first."""

    lab: str
    snapshots: tuple[Snapshot, ...]
    schema = "labctl/snapshot-list/v1"

    def as_dict(self) -> dict[str, Any]:
        """The body of the document."""
        return {"lab": self.lab, "snapshots": [snapshot.as_dict() for snapshot in self.snapshots]}


@dataclass(frozen=True)
class RestoreResult:
    """What a restore did, in `seconds`; no report for a lab that had no cluster yet."""

    snapshot: Snapshot
    report: Report | None
    seconds: float
    schema = "labctl/snapshot-restore/v1"

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON-ready data."""
        return {
            "lab": self.snapshot.plan.name,
            "snapshot": self.snapshot.as_dict(),
            "seconds": round(self.seconds, 1),
            "verify": self.report.as_dict() if self.report else None,
        }


@dataclass(frozen=True)
class DeleteResult(Result):
    """The name of the snapshot that was deleted."""

    lab: str
    deleted: str
    schema = "labctl/snapshot-delete/v1"


def list_all(lab: Lab) -> ListResult:
    """The snapshots of the lab."""
    return ListResult(lab.plan.name, tuple(list_snapshots(lab.directory)))


def check_new(lab: Lab, name: str) -> None:
    """Raise SpecError for a name that is invalid or taken, or a provider without snapshots.

    Raises ProviderError for a lab that a killed run left incomplete.
    """
    if not NAME.fullmatch(name):
        raise SpecError(
            f"{name!r} is not a name: 1 to 40 small letters, digits and dashes, a letter or digit at both ends",
            fix="labctl snapshot save before-upgrade",
        )
    with open_provider(lab.plan.provider) as provider:
        capabilities = provider.capabilities(lab.plan)
    if not capabilities.snapshot:
        raise SpecError(
            f"{lab.plan.name} cannot be saved: {capabilities.reasons.get('snapshot', 'its provider has no snapshots')}",
            fix="copy what you need (labctl cp), or use another provider",
        )
    for snapshot in list_snapshots(lab.directory):
        if snapshot.name == name:
            raise SpecError(
                f"there is a snapshot {name!r} already, of {snapshot.time}",
                fix=f"another name, or: labctl snapshot delete {name}",
            )
    # Whoever works on the lab right now is found by its lock, and named there.
    run = last_run(lab.directory)
    if run and run.result == "killed" and run.verb not in (SAVE, DELETE, "halt"):
        raise ProviderError(f"the lab is incomplete: {run} was killed{run.where}", fix="labctl provision")


def save(lab: Lab, name: str, emit: Emit) -> SaveResult:
    """Save all nodes as they are now, all or nothing. Raises SpecError, HostError, ProviderError, LockedError."""
    plan, directory = lab.plan, lab.directory
    with exclusive_lock(directory, SAVE):
        check_new(lab, name)
        with recorded(directory, SAVE, emit, {"name": name}) as emit:
            tag = f"{name}.{uuid.uuid4().hex[:8]}"
            title = f"Save {len(plan.nodes)} machines as {name}"
            with open_provider(plan.provider, emit) as provider, phase(emit, "save", title):
                # What a save that was killed left has a tag that no record names.
                provider.forget(plan, directory, _tags(directory), emit, "save")
                size = provider.save(plan, directory, tag, emit, "save")
            cluster = plan.kubernetes is None or directory.kubeconfig.exists()
            snapshot = Snapshot(name, tag, time.time(), size, cluster, plan)
            write_record(directory, snapshot)
    return SaveResult(plan.name, snapshot)


def preview_restore(lab: Lab, snapshot: Snapshot) -> list[str]:
    """What a restore would do, in sentences."""
    kept = {node.name for node in snapshot.plan.nodes}
    extra = [node.name for node in lab.plan.nodes if node.name not in kept]
    steps = [f"restore {node.name} to {snapshot.time}" for node in snapshot.plan.nodes]
    steps += [f"remove {name}, which the snapshot does not have" for name in extra]
    return [*steps, "verify the lab"] if snapshot.cluster else steps


def restore(lab: Lab, snapshot: Snapshot, emit: Emit, *, spec: Spec) -> RestoreResult:
    """Restore the lab and verify it; the number of workers in lab.yml follows.

    Killed at any moment, the same command repeats it, and no other verb touches the lab before.
    """
    began = time.monotonic()
    plan, directory = snapshot.plan, lab.directory
    refuse_problems(folder_problems(plan))
    with (
        changing(directory, RESTORE, emit, {"name": snapshot.name}) as emit,
        open_provider(plan.provider, emit) as provider,
    ):
        with phase(emit, "restore", f"Restore {len(plan.nodes)} machines to {snapshot.time}"):
            end_connections(provider.nodes(lab.plan), lab.plan.uuid)
            begin_operation(directory, RESTORE, f"labctl snapshot restore {snapshot.name}")
            nodes = provider.restore(plan, directory, snapshot.tag, emit, "restore")
            save_plan(directory, plan)
            _update_lab_yml(plan, spec, emit)
        report = _verify(snapshot, observe_with(provider, Lab(directory, plan), nodes), emit)
        finish_operation(directory)
    return RestoreResult(snapshot, report, time.monotonic() - began)


def delete(lab: Lab, snapshot: Snapshot, emit: Emit) -> DeleteResult:
    """Delete one snapshot; its record goes first, so that a kill leaves parts that the next save or delete removes."""
    with (
        changing(lab.directory, DELETE, emit, {"name": snapshot.name}) as emit,
        open_provider(lab.plan.provider, emit) as provider,
        phase(emit, "delete", f"Delete the snapshot {snapshot.name}"),
    ):
        record_file(lab.directory, snapshot.name).unlink(missing_ok=True)
        provider.forget(snapshot.plan, lab.directory, _tags(lab.directory), emit, "delete")
    return DeleteResult(lab.plan.name, snapshot.name)


def _verify(snapshot: Snapshot, observed: ObservedLab, emit: Emit) -> Report | None:
    if not snapshot.cluster:
        observed.lab.directory.kubeconfig.unlink(missing_ok=True)
        emit(Note(phase="restore", text="the snapshot has no cluster: labctl provision continues from here"))
        return None
    if observed.lab.plan.kubernetes is not None:
        install_kubeconfig(observed, emit)
        with phase(emit, "wait", "Wait until every node reports to the API server"):
            wait_until_recovered(observed.lab, snapshot.created)
    return wait_until_healthy(observed, emit)


def _update_lab_yml(plan: Plan, spec: Spec, emit: Emit) -> None:
    """Write the restored number of workers into a lab.yml that names another one, as scale does."""
    if spec.file and spec.is_explicit("workers.count") and spec.lab.workers.count != len(plan.workers):
        write_worker_count(spec.file, len(plan.workers))
        emit(Note(phase="restore", text=f"wrote workers.count: {len(plan.workers)} into {spec.file}"))


def _tags(directory: LabDir) -> set[str]:
    return {snapshot.tag for snapshot in list_snapshots(directory)}
