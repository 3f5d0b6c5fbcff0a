"""`labctl scale`: create and join workers, or drain and remove the last ones; the others are not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, Note, Step, phase
from orchestrator.lab.convergence import ConvergeResult, build_lab
from orchestrator.lab.host_setup import Agree
from orchestrator.lab.journal import changing
from orchestrator.lab.kubectl import run_kubectl
from orchestrator.lab.lab_yml_edit import write_worker_count
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import NodePlan
from orchestrator.proc import ProcessFailed
from orchestrator.spec import Spec
from orchestrator.spec.rules import offsets

DRAIN_SECONDS = 60
API_SECONDS = 30


@dataclass(frozen=True)
class Scaling:
    """What a scale would do: workers to add and to remove, and lab.yml when it has to name the new number."""

    count: int
    added: tuple[str, ...]
    removed: tuple[NodePlan, ...]
    file: Path | None

    def steps(self) -> list[str]:
        """The scaling in sentences."""
        steps = [f"drain {node.name}, remove it from the cluster and remove its machine" for node in self.removed]
        steps += [f"create {name} and join it" for name in self.added]
        steps += [f"write workers.count: {self.count} into {self.file}"] if self.file else []
        return steps or [f"nothing: the lab has {self.count} workers"]


def plan_scaling(lab: Lab, spec: Spec, *, written: Spec) -> Scaling:
    """What it takes to get from the lab to `spec`; `written` is the same lab.yml without the option.

    Raises SpecError for a number that a running lab cannot go to.
    """
    count = spec.lab.workers.count
    workers = lab.plan.workers
    if lab.plan.static_hosts:
        fix = "edit static.hosts in lab.yml; labctl provision"
        raise SpecError("a static lab has as many workers as lab.yml lists hosts", fix=fix)
    if bool(count) != bool(workers):
        raise SpecError(
            f"the lab has {len(workers)} workers and cannot go to {count}: its control plane was set up for that",
            fix=f"labctl scale --workers 1, or a new lab: labctl destroy && labctl provision --workers {count}",
        )
    names = tuple(offsets(spec.lab))[1:]
    added = tuple(name for name in names if name not in {node.name for node in workers})
    removed = tuple(node for node in workers if node.name not in names)
    differs = written.is_explicit("workers.count") and written.lab.workers.count != count
    return Scaling(count, added, removed, written.file if differs else None)


def scale(lab: Lab, spec: Spec, scaling: Scaling, *, agree: Agree, emit: Emit) -> ConvergeResult:
    """Bring the lab to the planned number of workers, and verify it. Raises as `provision` does."""
    with changing(lab.directory, "scale", emit) as emit:
        if scaling.file:
            write_worker_count(scaling.file, scaling.count)
        if scaling.removed:
            with phase(emit, "remove", f"Remove {', '.join(node.name for node in scaling.removed)}"):
                _remove(lab, [node.name for node in scaling.removed], emit)
        done = build_lab(spec, lab.directory, agree=agree, emit=emit)
    return replace(done, schema="labctl/scale/v1", details={"workers": scaling.count})


def _remove(lab: Lab, names: Sequence[str], emit: Emit) -> None:
    for name in names if lab.plan.kubernetes else ():
        emit(Step(phase="remove", node=name, name="drain the node"))
        _drain(lab, name, emit)
        _kubectl(lab, "delete", "node", name, "--ignore-not-found")
    with open_provider(lab.plan.provider, emit) as provider:
        provider.remove_nodes(lab.plan, names, emit, "remove")
    # From here on the lab is the smaller one, also for whoever continues after a kill.
    kept = tuple(node for node in lab.plan.nodes if node.name not in names)
    save_plan(lab.directory, replace(lab.plan, nodes=kept))


def _drain(lab: Lab, name: str, emit: Emit) -> None:
    """Evict the pods as far as possible; what stays (its machine may be gone) ends with the node."""
    if not _kubectl(lab, "get", "node", name, "--ignore-not-found", "-o", "name").strip():
        return
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--timeout={DRAIN_SECONDS}s")
    try:
        run_kubectl(lab, "drain", name, *flags, "--request-timeout=0", timeout=DRAIN_SECONDS + API_SECONDS)
    except ProcessFailed as problem:
        emit(Note(phase="remove", text=f"{name} could not be drained entirely: {problem.result.tail}"))


def _kubectl(lab: Lab, *arguments: str) -> str:
    try:
        return run_kubectl(lab, *arguments, "--request-timeout=20s", timeout=API_SECONDS).stdout
    except ProcessFailed as problem:
        raise ProviderError(
            f"the cluster does not answer, so no node can be drained: {problem.result.tail}",
            fix="labctl start; then scale again",
        ) from None
