"""`labctl drill`: break the lab, watch it, grade the repair, and put everything back."""

from __future__ import annotations

import getpass
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import paths, proc
from orchestrator.checks.model import Report
from orchestrator.drills import Attempt, Catalogue, Drill, Finding, Progress, judge, load, load_all
from orchestrator.drills.catalogue import filled, impossible, names
from orchestrator.drills.grading import contains, same_answer
from orchestrator.drills.words import say
from orchestrator.errors import Problem, ProviderError, SpecError, VerifyError
from orchestrator.events import Emit, Note, Step, phase
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.node_status import last_verify
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.power import power_off, power_on
from orchestrator.lab.state import Lab
from orchestrator.lab.verification import run_selected_checks, verify_lab, wait_until_healthy
from orchestrator.paths import write_private
from orchestrator.verbs.drill import nodes

POLL_SECONDS = 1.0
SHOWN_PROBLEMS = 4
FRESH_SECONDS = 60.0  # a lab that was proved so shortly ago, as by a reset, is not proved again


@dataclass(frozen=True)
class Verdict:
    """What a check of the student's repair found."""

    attempt: Attempt
    findings: tuple[Finding, ...]

    @property
    def solved(self) -> bool:
        return all(finding.reached for finding in self.findings)


@dataclass(frozen=True)
class Listed:
    """One drill of the list: `state` is done, shown, open, new or impossible; `why` says why it is impossible."""

    drill: Drill
    state: str
    why: str = ""


# The catalogue.


def roots(given: Path | None) -> tuple[Path, ...]:
    """The directories in which drills are looked for: the one given, and labctl's own."""
    return (given, paths.data("drills")) if given is not None else (paths.data("drills"),)


def catalogue(given: Path | None) -> Catalogue:
    """All drills. Raises SpecError with every problem of every drill."""
    return load_all(roots(given))


def listed(lab: Lab | None, given: Path | None) -> list[Listed]:
    """Every drill with its state in this lab."""
    progress = read(lab) if lab else Progress()
    return [_listed(drill, lab, progress) for drill in catalogue(given).drills.values()]


def _listed(drill: Drill, lab: Lab | None, progress: Progress) -> Listed:
    record = progress.records.get(drill.slug)
    if progress.current and progress.current.slug == drill.slug:
        return Listed(drill, "open")
    if why := impossible(drill, lab.plan) if lab else "":
        return Listed(drill, "impossible", why)
    if record and record.solved:
        return Listed(drill, "done")
    return Listed(drill, "shown" if record and record.shown else "new")


# Progress.


def read(lab: Lab) -> Progress:
    """The lab's progress. Raises SpecError when its file is damaged."""
    file = _file(lab)
    try:
        return Progress.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Progress()
    except ValueError as problem:
        raise SpecError(f"{file} is damaged: {str(problem).splitlines()[0]}", fix=f"rm {file}") from None


def _file(lab: Lab) -> Path:
    return lab.directory.root / "drills.json"


def _write(lab: Lab, progress: Progress) -> Progress:
    write_private(_file(lab), progress.as_json())
    return progress


def opened(lab: Lab, given: Path | None = None) -> tuple[Drill, Progress]:
    """The drill that is open, and the progress. Raises SpecError when none is, or its directory is gone."""
    progress = read(lab)
    attempt = progress.needed()
    directory = given / attempt.slug if given else Path(attempt.directory)
    if not directory.is_dir():
        raise SpecError(
            f"the directory of the drill {attempt.slug} is gone: {directory}", fix="labctl drill reset --path DIRECTORY"
        )
    return load(directory), progress


def results(lab: Lab, student: str) -> dict[str, Any]:
    """The results of this lab as a document for `drill report`."""
    return read(lab).results(student or getpass.getuser(), lab.plan.name)


# The verbs.


def intent(lab: Lab, slug: str, given: Path | None) -> list[str]:
    """What `start` would do. Raises as it does when this lab does not allow the drill or another is open."""
    drill = _allowed(lab, slug, given)
    read(lab).begin(slug, str(drill.directory), time.time())
    return ["prove that the lab is healthy", f"break it: {drill.title.en}", f"keep the progress in {_file(lab)}"]


def start(lab: Lab, slug: str, *, given: Path | None, wait: bool, language: str, emit: Emit) -> Drill:
    """Break the lab. Raises SpecError, ProviderError or VerifyError, the lab untouched, when that cannot be."""
    drill = _allowed(lab, slug, given)
    with exclusive_lock(lab.directory, "drill start"):
        progress = read(lab).begin(slug, str(drill.directory), time.time())
        again = read(lab).current is not None
        _refuse_stopped(lab, drill if again else None)
        if not drill.proved:
            emit(Note(phase="drill", text=f"{slug} was not proved on a real lab yet; `labctl drill reset` undoes it"))
        if not again:
            _refuse_unhealthy(lab, emit)
        _write(lab, progress)
        title = say(language, "breaking", slug)
        with phase(emit, "drill", title):
            nodes.prepare(lab)
            nodes.play(lab, drill, "inject", emit, told_as=title)
        if drill.power_off:
            power_off(lab, names(lab.plan)["worker"], emit)
        _write(lab, progress.opened(time.time()))
        if wait and drill.symptom:
            _await_symptom(lab, drill, language, emit)
    return drill


def hint(lab: Lab, given: Path | None = None) -> tuple[Drill, int]:
    """One hint more: the drill and how many hints are shown now."""
    with exclusive_lock(lab.directory, "drill hint"):
        drill, progress = opened(lab, given)
        fresh = _write(lab, progress.hinted())
    return drill, fresh.needed().hints


def check(lab: Lab, *, emit: Emit, given: Path | None = None) -> Verdict:
    """Grade the student's repair. Raises SpecError when no drill is open, ProviderError when the lab is halted."""
    with exclusive_lock(lab.directory, "drill check"):
        drill, progress = opened(lab, given)
        _refuse_stopped(lab, drill)
        findings = _grade(lab, drill, emit)
        solved = all(finding.reached for finding in findings)
        fresh = _write(lab, progress.checked(solved, time.time(), "student"))
    return Verdict(fresh.needed(), findings)


def observe(lab: Lab, answers: Mapping[int, str], *, given: Path | None = None) -> dict[int, bool]:
    """Compare answers, by the number of their question, with what can be seen. Raises SpecError for a wrong number."""
    with exclusive_lock(lab.directory, "drill observe"):
        drill, progress = opened(lab, given)
        if strange := [number for number in answers if not 1 <= number <= len(drill.questions)]:
            count = len(drill.questions)
            raise SpecError(
                f"there is no question {strange[0]}", fix=f"{drill.slug} asks {count}: labctl drill observe"
            )
        right = {number: _right(lab, drill, number, text) for number, text in answers.items()}
        for number in [number for number, good in right.items() if good]:
            progress = progress.answered(number)
        _write(lab, progress)
    return right


def solve(lab: Lab, *, emit: Emit, given: Path | None = None, language: str = "en") -> Verdict:
    """Repair the lab with the drill's own solution and grade it."""
    with exclusive_lock(lab.directory, "drill solve"):
        drill, progress = opened(lab, given)
        _refuse_stopped(lab, drill)
        progress = _write(lab, progress.working("solving"))
        if drill.power_off:
            power_on(lab, emit)
        with phase(emit, "drill", say(language, "repairing", drill.slug)):
            nodes.play(lab, drill, "solution", emit)
        deadline = time.monotonic() + drill.proof.recovery
        findings = _grade(lab, drill, emit)
        while not all(one.reached for one in findings) and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            emit(Step(phase="drill", name=say(language, "recovering"), status="running", remaining=left))
            time.sleep(POLL_SECONDS)
            findings = _grade(lab, drill, emit)
        solved = all(one.reached for one in findings)
        fresh = _write(lab, progress.checked(solved, time.time(), "labctl"))
    return Verdict(fresh.needed(), findings)


def repair_wrongly(lab: Lab, *, emit: Emit) -> None:
    """Do the drill's wrong repair, which its proof needs: grading must not be content with it."""
    with exclusive_lock(lab.directory, "drill wrong"):
        drill, _ = opened(lab)
        nodes.play(lab, drill, "wrong", emit)


def reset(lab: Lab, *, emit: Emit, given: Path | None = None, language: str = "en") -> str:
    """Put everything back and prove the lab; the drill's name. Raises VerifyError when the lab is not as before."""
    with exclusive_lock(lab.directory, "drill reset"):
        drill, progress = opened(lab, given)
        _refuse_stopped(lab, drill)
        progress = _write(lab, progress.working("resetting"))
        if drill.power_off and any(node.state != "running" for node in reported_nodes(lab)):
            power_on(lab, emit)
        title = say(language, "putting_back", drill.slug)
        with phase(emit, "drill", title):
            nodes.put_back(lab, drill, emit, told_as=title)
        report = wait_until_healthy(observe_lab(lab), emit)
        if not report.ok:
            raise VerifyError(
                f"{drill.slug} was put back, but the lab is not healthy",
                fix="labctl drill reset once more; labctl provision brings back what else was changed",
                problems=_troubles(report),
            )
        _write(lab, progress.closed())
    return drill.slug


def _allowed(lab: Lab, slug: str, given: Path | None) -> Drill:
    """The drill of this name. Raises SpecError when there is none, or the lab does not allow it."""
    drill = catalogue(given).get(slug)
    if why := impossible(drill, lab.plan):
        raise SpecError(f"{slug} is not possible here: {why}", fix="labctl drill list")
    return drill


def _refuse_stopped(lab: Lab, drill: Drill | None = None) -> None:
    """Raise ProviderError unless every machine runs, but for the one that the drill has switched off."""
    off = names(lab.plan)["worker"] if drill and drill.power_off else ""
    reported = {node.name: node.state for node in reported_nodes(lab)}
    down = [f"{node.name} is {reported.get(node.name, 'missing')}" for node in lab.plan.nodes if node.name != off]
    down = [text for text in down if not text.endswith(" is running")]
    if down:
        raise ProviderError(f"a drill needs the whole lab: {', '.join(down)}", fix="labctl start")


def _refuse_unhealthy(lab: Lab, emit: Emit) -> None:
    last = last_verify(lab.directory)
    if last and last.ok and 0 <= time.time() - last.at < FRESH_SECONDS:
        return
    report = verify_lab(observe_lab(lab), emit=emit)
    if not report.ok:
        raise VerifyError(
            "the lab is not healthy, so a drill would not show what it teaches; nothing was changed",
            fix="labctl verify shows all; labctl provision repairs",
            problems=_troubles(report),
        )


def _troubles(report: Report) -> list[Problem]:
    bad = [result for result in report.results if result.bad]
    return [Problem(result.evidence or result.title, result.node or "cluster") for result in bad[:SHOWN_PROBLEMS]]


def _grade(lab: Lab, drill: Drill, emit: Emit) -> tuple[Finding, ...]:
    own = [drill.own_checks] if drill.own_checks else []
    report = run_selected_checks(observe_lab(lab), drill.checks, own, variables=_told(lab))
    return judge(drill, [(one.id, one.node, one.status, one.evidence) for one in report.results])


def _told(lab: Lab) -> dict[str, Any]:
    """What the checks of a drill learn beside a node's inventory variables."""
    return {f"drill_{key}": value for key, value in names(lab.plan).items()}


def _await_symptom(lab: Lab, drill: Drill, language: str, emit: Emit) -> None:
    """Wait until the break shows, counting down; a break that does not show in time is said, not an error."""
    symptom = drill.symptom
    assert symptom is not None
    text = filled(getattr(symptom.say, language), lab.plan)
    deadline = time.monotonic() + symptom.within
    with phase(emit, "symptom", text):
        while not re.search(symptom.expect, _kubectl(lab, filled(symptom.kubectl, lab.plan))):
            left = deadline - time.monotonic()
            if left <= 0:
                emit(Note(phase="symptom", text=f"not within {symptom.within} s; it may still come"))
                return
            emit(Step(phase="symptom", name=f"{text} ({left:.0f} s)", status="running", remaining=left))
            time.sleep(POLL_SECONDS)


def _right(lab: Lab, drill: Drill, number: int, given: str) -> bool:
    answer = drill.questions[number - 1].answer
    if answer.kubectl:
        return same_answer(given, _kubectl(lab, filled(answer.kubectl, lab.plan)))
    return bool(given.strip()) and contains(given, [filled(word, lab.plan) for word in answer.accept])


def _kubectl(lab: Lab, arguments: str) -> str:
    """What the lab's kubectl prints, its error output included: a refused connection is a symptom too."""
    argv = [*kubectl_argv(lab), "--request-timeout=5s", *shlex.split(arguments)]
    try:
        done = proc.run(argv, check=False, timeout=15, env={"KUBECONFIG": str(kubeconfig_path(lab))})
    except proc.ProcessFailed as problem:
        return str(problem)
    return f"{done.stdout}{done.stderr}".strip()
