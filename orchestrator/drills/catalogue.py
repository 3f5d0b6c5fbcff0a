"""All drills that can be had, which of them a lab allows, and their texts with the lab's own names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Problem, SpecError
from orchestrator.model import Plan

from .load import Drill, load


@dataclass(frozen=True)
class Catalogue:
    """Drills by name, in the order of course and level."""

    drills: Mapping[str, Drill]

    def get(self, slug: str) -> Drill:
        """The drill of this name. Raises SpecError with the nearest names."""
        if slug in self.drills:
            return self.drills[slug]
        near = difflib.get_close_matches(slug, self.drills, 3, 0.4)
        hint = f"did you mean: {', '.join(near)}?   (labctl drill list)" if near else "labctl drill list"
        raise SpecError(f"there is no drill called {slug!r}", fix=hint)


def load_all(roots: Collection[Path], known_checks: Collection[str] = ()) -> Catalogue:
    """Every drill under the directories. Raises SpecError with the problems of all of them."""
    found: dict[str, Drill] = {}
    problems: list[Problem] = []
    for root in roots:
        if not root.is_dir():
            raise SpecError(f"{root} is not a directory", fix="--path DIRECTORY that holds drills")
        for directory in directories(root):
            try:
                drill = load(directory, known_checks)
            except SpecError as error:
                problems += error.problems or (Problem(error.message, directory.name, error.fix),)
                continue
            if drill.slug in found:
                problems.append(
                    Problem(f"{found[drill.slug].directory} has this name already", drill.slug, "rename it")
                )
            found[drill.slug] = drill
    if problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise SpecError(f"the drills have {count}", fix="labctl drill lint", problems=problems)
    return Catalogue(dict(sorted(found.items(), key=lambda item: _rank(item[1]))))


def directories(root: Path) -> list[Path]:
    """The drills' directories under `root`, or `root` itself when it is one."""
    if (root / "drill.yml").exists():
        return [root]
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))


def _rank(drill: Drill) -> tuple[bool, str, int, str]:
    return (not drill.section, drill.section, drill.level, drill.slug)


def impossible(drill: Drill, plan: Plan) -> str:
    """Why a lab does not allow the drill; empty when it does."""
    needs, kubernetes = drill.needs, plan.kubernetes
    if kubernetes is None:
        return f"the lab has no Kubernetes (profile {plan.profile})"
    if plan.provider not in needs.providers:
        return f"not on {plan.provider} machines; needs {' or '.join(needs.providers)}"
    if len(plan.workers) < needs.workers:
        return f"needs {needs.workers} workers, the lab has {len(plan.workers)}"
    for what, wanted, has in (
        ("runtime", needs.runtime, kubernetes.runtime),
        ("pod network", needs.cni, kubernetes.cni),
        ("DNS server", needs.dns, kubernetes.dns),
    ):
        if wanted and wanted != has:
            return f"needs the {what} {wanted}, the lab has {has}"
    return ""


def names(plan: Plan) -> dict[str, str]:
    """The lab's names under the placeholders of the texts; the drills' worker is the last one."""
    worker = plan.workers[-1] if plan.workers else plan.control_plane
    first = plan.workers[0] if plan.workers else plan.control_plane
    return {
        "control_plane": plan.control_plane.name,
        "control_plane_address": plan.control_plane.address,
        "worker": worker.name,
        "worker_address": worker.address,
        "first_worker": first.name,
    }


def filled(text: str, plan: Plan) -> str:
    """A text with the lab's own names; other braces, such as those of jsonpath, stay."""
    for name, value in names(plan).items():
        text = text.replace(f"{{{name}}}", value)
    return text
