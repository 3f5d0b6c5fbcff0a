"""`labctl scale`: more workers join, the last ones leave in order; the others are not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import ProviderError, SpecError
from orchestrator.events import Emit, Note, Step, phase
from orchestrator.lab import host_setup as prepare
from orchestrator.lab import journal
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv
from orchestrator.lab.lab_yml_edit import write_worker_count
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import NodePlan
from orchestrator.spec import Spec
from orchestrator.spec.rules import offsets
from orchestrator.verbs.provision import Provisioned, build

DRAIN_SECONDS = 60
API_SECONDS = 30


@dataclass(frozen=True)
class Change:
    """What a scale would do: workers that come, workers that go, and lab.yml when it has to say the new number."""

    comes: tuple[str, ...]
    goes: tuple[NodePlan, ...]
    file: Path | None

    def lines(self, count: int) -> list[str]:
        """The change in sentences."""
        lines = [f"drain {node.name}, take it out of the cluster and remove its machine" for node in self.goes]
        lines += [f"make {name} and join it" for name in self.comes]
        lines += [f"write workers.count: {count} into {self.file}"] if self.file else []
        return lines or [f"nothing: the lab has {count} workers"]


def change(lab: Lab, asked: Spec, *, written: Spec) -> Change:
    """What it takes to get from the lab to `asked`; `written` is the same lab.yml without the option.

    Raises SpecError for a number that a running lab cannot go to.
    """
    count = asked.lab.workers.count
    workers = lab.plan.workers
    if lab.plan.provider == "static":
        fix = "edit static.hosts in lab.yml; labctl provision"
        raise SpecError("a static lab has as many workers as lab.yml lists hosts", fix=fix)
    if bool(count) != bool(workers):
        raise SpecError(
            f"the lab has {len(workers)} workers and cannot go to {count}: its control plane was set up for that",
            fix=f"labctl scale --workers 1, or a new lab: labctl destroy && labctl provision --workers {count}",
        )
    names = tuple(offsets(asked.lab))[1:]
    comes = tuple(name for name in names if name not in {node.name for node in workers})
    goes = tuple(node for node in workers if node.name not in names)
    explicit = written.is_explicit("workers.count") and written.lab.workers.count != count
    return Change(comes, goes, written.file if explicit else None)


def scale(lab: Lab, asked: Spec, wanted: Change, *, agree: prepare.Agree, emit: Emit) -> Provisioned:
    """Bring the lab to the number of workers that is asked for, and prove it. Raises as `provision` does."""
    with exclusive_lock(lab.directory, "scale"), journal.recorded(lab.directory, "scale", emit) as told:
        if wanted.file:
            write_worker_count(wanted.file, asked.lab.workers.count)
        if wanted.goes:
            with phase(told, "remove", f"Take {', '.join(node.name for node in wanted.goes)} out of the lab"):
                _remove(lab, wanted.goes, told)
        return build(asked, lab.directory, agree=agree, emit=told)


def _remove(lab: Lab, nodes: Sequence[NodePlan], emit: Emit) -> None:
    names = [node.name for node in nodes]
    if lab.plan.kubernetes is not None:
        for name in names:
            emit(Step(phase="remove", node=name, name="drain the node"))
            _drain(lab, name, emit)
            _kubectl(lab, "delete", "node", name, "--ignore-not-found", timeout=API_SECONDS)
    with open_provider(lab.plan.provider, emit) as provider:
        provider.remove_nodes(lab.plan, names, emit, "remove")
    # From here on the lab is the smaller one, also for whoever continues after a kill.
    kept = tuple(node for node in lab.plan.nodes if node.name not in names)
    save_plan(lab.directory, replace(lab.plan, nodes=kept))


def _drain(lab: Lab, name: str, emit: Emit) -> None:
    """Move the pods away as far as they can be; what stays (its machine may be gone) ends with the node."""
    if not _kubectl(lab, "get", "node", name, "--ignore-not-found", "-o", "name", timeout=API_SECONDS).strip():
        return
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--timeout={DRAIN_SECONDS}s")
    argv = [*kubectl_argv(lab), "drain", name, *flags]
    try:
        proc.run(argv, timeout=DRAIN_SECONDS + API_SECONDS, env=_environment(lab))
    except proc.ProcessFailed as problem:
        emit(Note(phase="remove", text=f"{name} could not be drained entirely: {problem.result.tail}"))


def _kubectl(lab: Lab, *arguments: str, timeout: float) -> str:
    try:
        return proc.run(
            [*kubectl_argv(lab), *arguments, "--request-timeout=20s"], timeout=timeout, env=_environment(lab)
        ).stdout
    except proc.ProcessFailed as problem:
        raise ProviderError(
            f"the cluster does not answer, so no node can leave it in order: {problem.result.tail}",
            fix="labctl start; then scale again",
        ) from None


def _environment(lab: Lab) -> dict[str, str]:
    return {"KUBECONFIG": str(kubeconfig_path(lab))}
