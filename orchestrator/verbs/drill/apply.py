"""Applies steps to a lab's machines, for drills, drift cases and fault cases, and cleans up after a drill."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import groupby

from orchestrator.drills.catalog import lab_names
from orchestrator.drills.steps import ADMIN_KUBECONFIG, KEPT, Step, playbook
from orchestrator.errors import ConvergeError, Problem, ProviderError, SpecError
from orchestrator.events import Emit, Event, PhaseEnded, PhaseStarted, discard
from orchestrator.events import Step as StepEvent
from orchestrator.lab.attached import load_attached
from orchestrator.lab.node_commands import NodeResults, run_on_nodes
from orchestrator.lab.observed_lab import ObservedLab, observe_lab
from orchestrator.lab.package_source import serve_source
from orchestrator.lab.playbooks import run_playbook
from orchestrator.lab.power import power_off, power_on
from orchestrator.lab.state import Lab
from orchestrator.paths import write_private

NAMESPACE = "drill"
WORK_DIRECTORY = "/root/drill"  # files that a student works with

STEPS_SECONDS = 180.0

# A pod cannot be made before its namespace has its service account.
_PREPARE = f"""\
set -e; install -d -m 700 {KEPT}
[ -e {ADMIN_KUBECONFIG} ] || exit 0
export KUBECONFIG={ADMIN_KUBECONFIG}
kubectl create namespace {NAMESPACE} 2>/dev/null || true
for i in $(seq 100); do kubectl -n {NAMESPACE} get serviceaccount default >/dev/null 2>&1 && exit 0; sleep 0.2; done
exit 1
"""
# Where no drill has its directory, a namespace or files of these names are the reader's own: a reset would remove them.
_FOREIGN = f"""\
[ ! -d {KEPT} ] || exit 0
[ ! -e {WORK_DIRECTORY} ] || echo {WORK_DIRECTORY}
[ -e {ADMIN_KUBECONFIG} ] || exit 0
kubectl --kubeconfig={ADMIN_KUBECONFIG} get namespace {NAMESPACE} --ignore-not-found -o name
"""
# Kubernetes lets a deleted namespace lie for 5 seconds: the sooner it is told, the less is waited for in the end.
_BEGIN_CLEANUP = f"""\
[ -e {ADMIN_KUBECONFIG} ] || exit 0
export KUBECONFIG={ADMIN_KUBECONFIG}
kubectl --request-timeout=5s delete namespace {NAMESPACE} --ignore-not-found --wait=false >/dev/null 2>&1
exit 0
"""
_CLEANUP = f"""\
rm -rf {KEPT} {WORK_DIRECTORY}
[ -e {ADMIN_KUBECONFIG} ] || exit 0
export KUBECONFIG={ADMIN_KUBECONFIG}
kubectl get namespace {NAMESPACE} >/dev/null 2>&1 || exit 0
kubectl -n {NAMESPACE} delete deployments,statefulsets,daemonsets,pods --all --force --grace-period=0 >/dev/null 2>&1
kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=60s >/dev/null
"""


def apply_steps(
    observed: ObservedLab,
    steps: Iterable[Step],
    *,
    title: str,
    emit: Emit,
    hidden: bool = False,
    names: Mapping[str, str] | None = None,
) -> None:
    """Do the steps in their order; `hidden` shows the title in place of their names and machines.

    `names` are more placeholders than the lab's own. The directory of a run that succeeded is removed, so that none
    pile up. Raises ConvergeError.
    """
    plays = playbook(steps, {**lab_names(observed.lab.plan), **(names or {})}, title)
    if not plays:
        return
    file = observed.lab.directory.root / "steps.json"
    write_private(file, json.dumps(plays))
    try:
        with _packages(observed.lab):
            done = run_playbook(
                observed, file, emit=_as_one_phase(emit, title if hidden else ""), deadline=STEPS_SECONDS
            )
    finally:
        file.unlink(missing_ok=True)
    shutil.rmtree(done.directory, ignore_errors=True)


def _packages(lab: Lab) -> AbstractContextManager[object]:
    """Both bundles of a lab that has two, served for as long as steps may install from them."""
    return serve_source(lab.plan, lab.directory, discard) if load_attached(lab.directory) else nullcontext()


def apply_drill_steps(
    observed: ObservedLab, steps: Iterable[Step], *, slug: str, part: str, title: str, emit: Emit
) -> ObservedLab:
    """Do a part of a drill; what breaks or resets a lab is not shown, for a student to find. Raises ConvergeError.

    Returns the lab as it is then: its machines have other ports or addresses after a reboot.
    """
    try:
        for reboots, group in groupby(steps, key=lambda step: step.node if step.reboot else ""):
            if reboots:
                observed = _reboot(observed, reboots, _as_one_phase(emit, title))
            apply_steps(observed, group, title=title, emit=emit, hidden=part in ("break", "reset"))
        return observed
    except ConvergeError as problem:
        again = {"break": f"labctl drill start {slug}", "reset": "labctl drill reset"}.get(
            part, "the same command again"
        )
        raise ConvergeError(
            f"{slug}: {part}: {problem.message}",
            fix=f"{again}; or labctl drill reset, then labctl provision",
            log=problem.log,
        ) from None


def _reboot(observed: ObservedLab, place: str, emit: Emit) -> ObservedLab:
    power_off(observed.lab, lab_names(observed.lab.plan)[place], emit)
    power_on(observed.lab, emit)
    return observe_lab(observed.lab)


def refuse_foreign_objects(observed: ObservedLab, slug: str) -> None:
    """Raise SpecError when the reader has a namespace or files of the names that a drill makes and removes."""
    answers = _run_everywhere(observed, _FOREIGN, "look for objects of the drill's names")
    found = [(answer.node, line) for answer in answers.nodes for line in answer.stdout.split()]
    if not found:
        return
    fixes = {
        WORK_DIRECTORY: f"labctl ssh {{}} -- sudo mv {WORK_DIRECTORY} {WORK_DIRECTORY}-mine",
        f"namespace/{NAMESPACE}": f"labctl kubectl -- delete namespace {NAMESPACE}, after moving what you need",
    }
    problems = [Problem(f"{what} exists already", node, fixes[what].format(node)) for node, what in found]
    raise SpecError(
        f"{slug} would use, and its reset remove, what is yours already; nothing was changed",
        fix=f"put it away, then: labctl drill start {slug}",
        problems=problems,
    )


def prepare(observed: ObservedLab) -> None:
    """Make the drill's namespace and its place for what it takes away. Raises ProviderError."""
    _run_everywhere(observed, _PREPARE, "prepare the drill")


def put_back(observed: ObservedLab, steps: Iterable[Step], *, slug: str, title: str, emit: Emit) -> None:
    """Undo what a drill did and remove its objects. Raises ConvergeError or ProviderError."""
    # In vain where the steps have to bring the API server back: the namespace is deleted again below.
    with ThreadPoolExecutor(1) as beside:
        beside.submit(_run_everywhere, observed, _BEGIN_CLEANUP, "delete the drill's namespace")
        apply_drill_steps(observed, steps, slug=slug, part="reset", title=title, emit=emit)
    _run_everywhere(observed, _CLEANUP, "remove the drill's traces")


def _as_one_phase(emit: Emit, title: str) -> Emit:
    """An `Emit` for plays that are steps of the caller's one phase."""

    def emit_step(event: Event) -> None:
        if isinstance(event, PhaseStarted | PhaseEnded):
            return
        if title and isinstance(event, StepEvent) and event.status not in ("failed", "unreachable"):
            event = replace(event, name=title, node="", status="running")
        emit(event)

    return emit_step


def _run_everywhere(observed: ObservedLab, script: str, what: str) -> NodeResults:
    answers = run_on_nodes(
        observed.lab, "all", f"sudo -H sh -c {shlex.quote(script)}", timeout=120, nodes=observed.nodes
    )
    if bad := [answer for answer in answers.nodes if answer.code != 0]:
        words = (bad[0].error or bad[0].stderr or bad[0].stdout).strip().splitlines() or ["it printed nothing"]
        raise ProviderError(f"{bad[0].node}: cannot {what}: {words[-1]}", fix="labctl verify")
    return answers
