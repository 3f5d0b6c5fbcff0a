"""`labctl drill check` and `solve`: grade the student's repair, or repair the lab with the drill's own solution."""

from __future__ import annotations

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.drills.catalog import lab_names
from orchestrator.drills.grading import CheckResult, Finding, evaluate, goal_results, goal_script
from orchestrator.drills.messages import Wording
from orchestrator.drills.progress import Progress
from orchestrator.drills.schema import Drill, Goal
from orchestrator.errors import ExitCode
from orchestrator.events import Emit, Step, phase
from orchestrator.lab.drill_progress import save_progress
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_commands import run_on_nodes
from orchestrator.lab.observed_lab import ObservedLab, observe_lab
from orchestrator.lab.power import power_on
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.verification import run_selected_checks
from orchestrator.verbs.drill.apply import apply_drill_steps
from orchestrator.verbs.drill.exercise import POLL_SECONDS, observe_running
from orchestrator.verbs.drill.progress import open_drill


@dataclass(frozen=True)
class Verdict(Result):
    """What a check of the student's repair found; `seconds` is the time that the solution took."""

    name: str
    solved: bool
    by: str
    seconds: float
    findings: tuple[Finding, ...]
    schema = "labctl/drill-check/v1"

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.OK if self.solved else ExitCode.DRILL


def check(lab: Lab, *, wording: Wording, given: Path | None = None) -> Verdict:
    """Grade the student's repair. Raises SpecError when no drill is open, ProviderError when the lab is halted."""
    with exclusive_lock(lab.directory, "drill check"):
        drill, progress = open_drill(lab, given)
        findings = _grade(observe_running(lab, drill), drill, wording)
        return _save_verdict(lab, progress, findings, "student")


def solve(lab: Lab, *, emit: Emit, wording: Wording, given: Path | None = None) -> Verdict:
    """Repair the lab with the drill's own solution and grade it."""
    with exclusive_lock(lab.directory, "drill solve"):
        drill, progress = open_drill(lab, given)
        observed = observe_running(lab, drill)
        progress = save_progress(lab, progress.working("solving"))
        if drill.power_off:
            power_on(lab, emit)
            observed = observe_lab(lab)
        title = wording.say("repairing", drill.slug)
        with phase(emit, "drill", title):
            observed = apply_drill_steps(observed, drill.solve, slug=drill.slug, part="solve", title=title, emit=emit)
        findings = _grade_until_solved(observed, drill, wording, emit)
        return _save_verdict(lab, progress, findings, "labctl")


def apply_bad_fix(lab: Lab, *, emit: Emit) -> None:
    """Do the drill's bad fix, which its test needs: grading must not take it for a solution."""
    with exclusive_lock(lab.directory, "drill bad fix"):
        drill, _ = open_drill(lab)
        steps = drill.bad_fix
        apply_drill_steps(
            observe_running(lab, drill), steps, slug=drill.slug, part="bad_fix", title="Bad fix", emit=emit
        )


def _save_verdict(
    lab: Lab, progress: Progress, findings: tuple[Finding, ...], by: Literal["student", "labctl"]
) -> Verdict:
    solved = all(finding.reached for finding in findings)
    attempt = save_progress(lab, progress.checked(solved, time.time(), by)).required()
    return Verdict(attempt.slug, solved, attempt.by, attempt.seconds, findings)


def _grade_until_solved(observed: ObservedLab, drill: Drill, wording: Wording, emit: Emit) -> tuple[Finding, ...]:
    deadline = time.monotonic() + drill.recovery
    while True:
        findings = _grade(observed, drill, wording)
        left = deadline - time.monotonic()
        if left <= 0 or all(one.reached for one in findings):
            return findings
        emit(Step(phase="drill", name=wording.say("recovering"), status="running", remaining=left))
        time.sleep(POLL_SECONDS)


def _grade(observed: ObservedLab, drill: Drill, wording: Wording) -> tuple[Finding, ...]:
    own = [goal for goal in drill.expect if goal.is_own]
    shared = [goal.check for goal in drill.expect if not goal.is_own]
    with ThreadPoolExecutor(1) as beside:
        answered = beside.submit(_own_results, observed, own)
        checked = run_selected_checks(observed, shared).results if shared else ()
        results = [(one.id, one.node, one.status, one.evidence) for one in checked]
        return evaluate(drill, [*results, *answered.result()], wording.text)


def _own_results(observed: ObservedLab, goals: list[Goal]) -> list[CheckResult]:
    """The results of the drill's own goals, by one script on each machine that they name."""
    names = lab_names(observed.lab.plan)
    results: list[CheckResult] = []
    for place in dict.fromkeys(goal.node for goal in goals):
        here = [goal for goal in goals if goal.node == place]
        command = f"sudo -H bash -c {shlex.quote(goal_script(here, names))}"
        (answer,) = run_on_nodes(observed.lab, names[place], command, timeout=120, nodes=observed.nodes).nodes
        results += goal_results(here, names, answer.node, answer.stdout)
    return results
