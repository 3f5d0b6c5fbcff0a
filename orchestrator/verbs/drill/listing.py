"""The drills that exist: `labctl drill list`, `lint`, and the one that `drill start` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths, verify
from orchestrator.drills.catalog import directories, load_all, load_one, of_book, reason_impossible
from orchestrator.drills.messages import Wording
from orchestrator.drills.progress import Progress, Record
from orchestrator.drills.schema import Drill
from orchestrator.errors import Problem, SpecError
from orchestrator.lab.attached import load_attached
from orchestrator.lab.drill_progress import read_progress
from orchestrator.lab.pod_network import require_pod_network
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.verbs.drill.progress import DrillFacts, drill_facts


@dataclass(frozen=True)
class ListedDrill(DrillFacts):
    """One drill of the list: `state` is done, shown, open, new or impossible; `why` says why it is impossible."""

    state: str
    why: str


@dataclass(frozen=True)
class DrillList(Result):
    """The drills that are listed, the number of untested ones that are not, and the problems of unreadable ones."""

    drills: tuple[ListedDrill, ...]
    hidden: int
    problems: tuple[Problem, ...]
    schema = "labctl/drills/v1"


@dataclass(frozen=True)
class LintResult(Result):
    """How many drills were read, and every problem of them."""

    drills: int
    problems: tuple[Problem, ...]
    schema = "labctl/drill-lint/v1"


def drill_roots(given: Path | None) -> tuple[Path, ...]:
    """The directories that hold drills: the one given, and labctl's own."""
    return (given, paths.data("drills")) if given is not None else (paths.data("drills"),)


def list_drills(
    lab: Lab | None, given: Path | None, wording: Wording, *, untested: bool, book: str | None = None
) -> DrillList:
    """Every drill with its state in this lab; those that are not tested only when they are asked for or open.

    With `book` those that are exercises of the course book, in its order: of one section, or of all when it is empty.
    """
    progress = read_progress(lab) if lab else Progress()
    catalog = load_all(drill_roots(given))
    drills = list(catalog.drills.values()) if book is None else of_book(catalog.drills.values(), book)
    every = [(drill, *_state(drill, lab, progress)) for drill in drills]
    listed = [
        ListedDrill(**drill_facts(drill, wording), state=state, why=why)
        for drill, state, why in every
        if untested or drill.tested or state == "open"
    ]
    return DrillList(tuple(listed), len(every) - len(listed), catalog.problems)


def _state(drill: Drill, lab: Lab | None, progress: Progress) -> tuple[str, str]:
    """The state of a drill in a lab, and why it is impossible."""
    record = progress.records.get(drill.slug, Record())
    if progress.current and progress.current.slug == drill.slug:
        return "open", ""
    if lab and (reason := reason_impossible(drill, lab.plan, _attached_version(lab))):
        return "impossible", reason
    return "done" if record.solved else "shown" if record.shown else "new", ""


def allowed_drill(lab: Lab, slug: str, given: Path | None) -> Drill:
    """The drill of this name. Raises SpecError when there is none, or the lab does not allow it."""
    drill = load_one(drill_roots(given), slug)
    if reason := reason_impossible(drill, lab.plan, _attached_version(lab)):
        missing = drill.needs.workers - len(lab.plan.workers)
        fix = f"labctl scale --workers {drill.needs.workers}" if missing > 0 else "labctl drill list"
        raise SpecError(f"{drill.slug} is not possible here: {reason}", fix=fix)
    if drill.needs.pods:
        require_pod_network(lab, f"{drill.slug} needs pods that run")
    return drill


def _attached_version(lab: Lab) -> str:
    """The Kubernetes version of the lab's second bundle, empty for most labs."""
    attached = load_attached(lab.directory)
    return attached.kubernetes if attached else ""


def lint_drills(given: Sequence[Path]) -> LintResult:
    """Read the drills in these directories, or labctl's own. Raises SpecError when there is none."""
    roots = tuple(given) or drill_roots(None)
    count = sum(len(directories(root)) for root in roots)
    if not count:
        raise SpecError("these directories hold no drill", fix="labctl drill lint DIRECTORY")
    return LintResult(count, load_all(roots, known_checks()).problems)


def known_checks() -> frozenset[str]:
    """The ids of all checks of `labctl verify`."""
    return frozenset().union(*verify.ids_by_file().values())
