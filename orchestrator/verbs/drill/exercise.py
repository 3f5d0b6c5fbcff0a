"""`labctl drill start` and `reset`: break the lab and wait until that shows; put everything back and verify."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.checks.model import Report
from orchestrator.drills.catalog import filled, lab_names, untested_on
from orchestrator.drills.messages import Wording
from orchestrator.drills.schema import Drill
from orchestrator.errors import Problem, VerifyError
from orchestrator.events import Emit, Note, Step, phase
from orchestrator.lab.drill_progress import progress_file, read_progress, save_progress
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_status import last_verify
from orchestrator.lab.observed_lab import ObservedLab, observe_lab, require_running
from orchestrator.lab.power import power_off, power_on
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.verification import verify_lab, wait_until_healthy
from orchestrator.verbs.drill.apply import apply_drill_steps, prepare, put_back, refuse_foreign_objects
from orchestrator.verbs.drill.listing import allowed_drill
from orchestrator.verbs.drill.observe import kubectl_answer
from orchestrator.verbs.drill.progress import Task, open_drill, task_of

POLL_SECONDS = 1.0
SHOWN_PROBLEMS = 4
GONE = ("missing", "broken")  # states of a machine that cannot be started
FRESH_SECONDS = 60.0  # a lab that was verified so shortly ago, as by a reset, is not verified again


@dataclass(frozen=True)
class ResetDrill(Result):
    """The drill that was put back."""

    name: str
    ok: bool = True
    schema = "labctl/drill-reset/v1"


def preview(lab: Lab, slug: str, given: Path | None) -> list[str]:
    """What `start` would do. Raises as it does when this lab does not allow the drill or another is open."""
    drill = allowed_drill(lab, slug, given)
    read_progress(lab).begin(drill.slug, str(drill.directory), time.time())
    return [
        "verify that the lab is healthy",
        f"break it: {drill.title.en}",
        f"keep the progress in {progress_file(lab)}",
    ]


def start(lab: Lab, slug: str, *, given: Path | None, wait: bool, wording: Wording, emit: Emit) -> Task:
    """Break the lab. Raises SpecError, ProviderError or VerifyError, the lab untouched, when that cannot be."""
    drill = allowed_drill(lab, slug, given)
    slug = drill.slug
    with exclusive_lock(lab.directory, "drill start"):
        before = read_progress(lab)
        progress = before.begin(slug, str(drill.directory), time.time())
        is_continued = before.current is not None
        observed = observe_running(lab, drill if is_continued else None)
        if untested := untested_on(drill, lab.plan):
            emit(Note(phase="drill", text=f"{slug} is {untested}; `labctl drill reset` undoes it"))
        if not is_continued:
            _refuse_unhealthy(observed, emit)
            refuse_foreign_objects(observed, drill.slug)
        save_progress(lab, progress)
        title = wording.say("breaking", slug)
        with phase(emit, "drill", title):
            prepare(observed)
            apply_drill_steps(observed, drill.breaks, slug=slug, part="break", title=title, emit=emit)
        if drill.power_off:
            power_off(lab, lab_names(lab.plan)["worker"], emit)
        save_progress(lab, progress.opened(time.time()))
        if wait:
            _await_symptom(lab, drill, wording, emit)
    return task_of(drill, wording)


def reset(lab: Lab, *, emit: Emit, wording: Wording, given: Path | None = None) -> ResetDrill:
    """Put everything back and verify the lab. Raises VerifyError when the lab is not as before."""
    with exclusive_lock(lab.directory, "drill reset"):
        drill, progress = open_drill(lab, given)
        observed = _observe_existing(lab)
        progress = save_progress(lab, progress.working("resetting"))
        if len(observed.running) < len(lab.plan.nodes):
            power_on(lab, emit)
            observed = observe_lab(lab)
        title = wording.say("putting_back", drill.slug)
        with phase(emit, "drill", title):
            put_back(observed, drill.reset_steps, slug=drill.slug, title=title, emit=emit)
        what = f"{drill.slug} was put back, but the lab is not healthy"
        fix = "labctl drill reset once more; labctl provision brings back what else was changed"
        _require_healthy(wait_until_healthy(observed, emit), what, fix)
        save_progress(lab, progress.closed())
    return ResetDrill(drill.slug)


def _observe_existing(lab: Lab) -> ObservedLab:
    """The lab as it is now. Raises ProviderError when a machine is gone, as after a reader removed it."""
    observed = observe_lab(lab)
    gone = [node for node in map(observed.node, (node.name for node in lab.plan.nodes)) if node.state in GONE]
    require_running(gone, "a drill needs the whole lab", "labctl provision makes it anew; then: labctl drill reset")
    return observed


def observe_running(lab: Lab, drill: Drill | None = None) -> ObservedLab:
    """The lab as it is now. Raises ProviderError unless all machines run, but for one that is switched off."""
    observed = _observe_existing(lab)
    off = lab_names(lab.plan)["worker"] if drill and drill.power_off else ""
    needed = [observed.node(node.name) for node in lab.plan.nodes if node.name != off]
    require_running(needed, "a drill needs the whole lab")
    return observed


def _require_healthy(report: Report, what: str, fix: str) -> None:
    bad = [result for result in report.results if result.bad][:SHOWN_PROBLEMS]
    if not report.ok:
        problems = [Problem(result.evidence or result.title, result.node or "cluster") for result in bad]
        raise VerifyError(what, fix=fix, problems=problems)


def _refuse_unhealthy(observed: ObservedLab, emit: Emit) -> None:
    last = last_verify(observed.lab.directory)
    if last and last.ok and 0 <= time.time() - last.at < FRESH_SECONDS:
        return
    what = "the lab is not healthy, so a drill would not show what it teaches; nothing was changed"
    _require_healthy(verify_lab(observed, emit=emit), what, "labctl verify shows all; labctl provision repairs")


def _await_symptom(lab: Lab, drill: Drill, wording: Wording, emit: Emit) -> None:
    """Wait until the break shows, counting down; a break that does not show in time is a note, not an error."""
    symptom = drill.symptom
    if symptom is None:
        return
    text = wording.text(symptom.say)
    deadline = time.monotonic() + symptom.within
    with phase(emit, "symptom", text):
        while not re.search(symptom.expect, kubectl_answer(lab, filled(symptom.kubectl, lab.plan))):
            left = deadline - time.monotonic()
            if left <= 0:
                emit(Note(phase="symptom", text=f"not within {symptom.within} s; it may still come"))
                return
            emit(Step(phase="symptom", name=f"{text} ({left:.0f} s)", status="running", remaining=left))
            time.sleep(POLL_SECONDS)
