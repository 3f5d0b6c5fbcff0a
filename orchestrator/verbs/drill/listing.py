"""The drills that exist: `labctl drill list`, `lint`, and the one that `drill start` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orchestrator import paths, verify
from orchestrator.drills.catalog import directories, load_all, load_one, reason_impossible
from orchestrator.drills.messages import Wording
from orchestrator.drills.progress import Progress
from orchestrator.drills.schema import Drill
from orchestrator.errors import Problem, SpecError
from orchestrator.lab.state import Lab
from orchestrator.verbs.drill.progress import drill_facts, read_progress


@dataclass(frozen=True)
class ListedDrill:
    """One drill of the list: `state` is done, shown, open, new or impossible; `reason` says why it is impossible."""

    drill: Drill
    state: str
    reason: str = ""


@dataclass(frozen=True)
class DrillList:
    """The drills that are listed, how many untested ones are not, and the problems of those that cannot be read."""

    schema: ClassVar[str] = "labctl/drills/v1"

    drills: tuple[ListedDrill, ...]
    hidden: int
    problems: tuple[Problem, ...]
    wording: Wording
    has_lab: bool

    def as_dict(self) -> dict[str, Any]:
        entries = [
            {**drill_facts(one.drill, self.wording), "state": one.state, "why": one.reason} for one in self.drills
        ]
        return {"drills": entries, "problems": list(map(vars, self.problems))}


@dataclass(frozen=True)
class LintResult:
    """How many drills were read, and every problem of them."""

    schema: ClassVar[str] = "labctl/drill-lint/v1"

    count: int
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"drills": self.count, "problems": list(map(vars, self.problems))}


def drill_roots(given: Path | None) -> tuple[Path, ...]:
    """The directories that hold drills: the one given, and labctl's own."""
    return (given, paths.data("drills")) if given is not None else (paths.data("drills"),)


def list_drills(lab: Lab | None, given: Path | None, wording: Wording, *, untested: bool) -> DrillList:
    """Every drill with its state in this lab; those that are not tested only when they are asked for or open."""
    progress = read_progress(lab) if lab else Progress()
    catalog = load_all(drill_roots(given))
    every = [_listed(drill, lab, progress) for drill in catalog.drills.values()]
    shown = tuple(one for one in every if untested or one.drill.tested or one.state == "open")
    return DrillList(shown, len(every) - len(shown), catalog.problems, wording, lab is not None)


def _listed(drill: Drill, lab: Lab | None, progress: Progress) -> ListedDrill:
    record = progress.records.get(drill.slug)
    if progress.current and progress.current.slug == drill.slug:
        return ListedDrill(drill, "open")
    if reason := reason_impossible(drill, lab.plan) if lab else "":
        return ListedDrill(drill, "impossible", reason)
    if record and record.solved:
        return ListedDrill(drill, "done")
    return ListedDrill(drill, "shown" if record and record.shown else "new")


def allowed_drill(lab: Lab, slug: str, given: Path | None) -> Drill:
    """The drill of this name. Raises SpecError when there is none, or the lab does not allow it."""
    drill = load_one(drill_roots(given), slug)
    if reason := reason_impossible(drill, lab.plan):
        raise SpecError(f"{slug} is not possible here: {reason}", fix="labctl drill list")
    return drill


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
