"""The drills that exist, which of them a lab allows, and the lab's names for their texts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.catalog.versions import number, within
from orchestrator.errors import Problem, SpecError
from orchestrator.model import Plan

from .load import load
from .schema import Drill
from .steps import fill


@dataclass(frozen=True)
class Catalog:
    """Drills by name, in the order of course and level, and the problems of those that cannot be read."""

    drills: Mapping[str, Drill]
    problems: tuple[Problem, ...] = ()


def load_all(roots: Sequence[Path], known_checks: Collection[str] = ()) -> Catalog:
    """Every drill under the directories; one that cannot be read is a problem and does not hide the others."""
    drills: dict[str, Drill] = {}
    problems: list[Problem] = []
    for directory in (one for root in roots for one in directories(root)):
        try:
            drill = load(directory, known_checks)
        except SpecError as error:
            problems += error.problems or (Problem(error.message, directory.name, error.fix),)
            continue
        if drill.slug in drills:
            problems.append(Problem(f"{drills[drill.slug].directory} has this name already", drill.slug, "rename it"))
        else:
            drills[drill.slug] = drill
    return Catalog(dict(sorted(drills.items(), key=lambda item: _rank(item[1]))), tuple(problems))


def load_one(roots: Sequence[Path], slug: str) -> Drill:
    """The drill of this name, no other file read, or the only one of this section of the book.

    Raises SpecError with its problems, or with the nearest names.
    """
    known = {directory.name: directory for root in reversed(roots) for directory in directories(root)}
    if slug in known:
        return load(known[slug])
    if re.fullmatch(r"[\d.]+", slug):
        return _only_of_section(roots, slug)
    near = difflib.get_close_matches(slug, known, 3, 0.4)
    hint = f"did you mean: {', '.join(near)}?   (labctl drill list)" if near else "labctl drill list"
    raise SpecError(f"no drill is called {slug!r}", fix=hint)


def _only_of_section(roots: Sequence[Path], section: str) -> Drill:
    found = of_book(load_all(roots).drills.values(), section)
    if len(found) == 1:
        return found[0]
    names = ", ".join(drill.slug for drill in found)
    raise SpecError(
        f"the book's section {section} has {len(found)} exercises: {names}", fix=f"labctl drill start {found[0].slug}"
    )


def directories(root: Path) -> list[Path]:
    """The drills' directories under `root`, or `root` itself when it is one. Raises SpecError when there is no root."""
    if not root.is_dir():
        raise SpecError(f"{root} is not a directory", fix="--path DIRECTORY that holds drills")
    if (root / "drill.yml").exists():
        return [root]
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))


def _rank(drill: Drill) -> tuple[bool, list[tuple[int, str]], int, str]:
    return (not drill.section, _numbered(drill.section), drill.level, drill.slug)


def _numbered(section: str) -> list[tuple[int, str]]:
    """A section for sorting: 3.2.10 comes after 3.2.9."""
    return [(int(number or 0), text) for number, text in re.findall(r"(\d+)|(\D+)", section)]


def of_book(drills: Iterable[Drill], section: str = "") -> list[Drill]:
    """The exercises of the course book in its order; with a section those in and below it.

    Raises SpecError, naming the sections that have exercises, when that one has none.
    """
    every = [drill for drill in drills if drill.book]
    found = [drill for drill in every if any(f"{one}.".startswith(f"{section}.") for one in drill.book)]
    if section and not found:
        known = sorted({one for drill in every for one in drill.book}, key=_numbered)
        raise SpecError(
            f"no drill is an exercise of the book's section {section}",
            fix=f"labctl drill list --book   (sections: {', '.join(known)})",
        )
    return sorted(found if section else every, key=lambda drill: (_numbered(drill.book[0]), _rank(drill)))


def reason_impossible(drill: Drill, plan: Plan, attached: str = "") -> str:
    """Why a lab does not allow the drill, empty when it does; `attached` is the version of the lab's second bundle."""
    needs, kubernetes = drill.needs, plan.kubernetes
    if kubernetes is None:
        return f"the lab has no Kubernetes (profile {plan.profile})"
    if plan.provider not in needs.providers:
        return f"not on {plan.provider} machines; needs {' or '.join(needs.providers)}"
    if len(plan.workers) < needs.workers:
        return f"needs {needs.workers} workers, the lab has {len(plan.workers)}"
    if needs.kubernetes and not within(kubernetes.version, needs.kubernetes):
        return f"needs Kubernetes {needs.kubernetes}, the lab has {kubernetes.version}"
    for what, needed, actual in (
        ("runtime", needs.runtime, kubernetes.runtime),
        ("pod network", needs.cni, kubernetes.cni),
        ("DNS server", needs.dns, kubernetes.dns),
    ):
        if needed and needed != actual:
            return f"needs the {what} {needed}, the lab has {actual}"
    if needs.attached and not _is_next(attached, kubernetes.version):
        return f"needs the packages of an older Kubernetes as well: labctl bundle attach {_before(kubernetes.version)}"
    return ""


def _is_next(older: str, newer: str) -> bool:
    """Whether kubeadm goes from one version to the other in one step."""
    if not older:
        return False
    first, second = number(older), number(newer)
    return first < second and first[0] == second[0] and second[1] - first[1] <= 1


def _before(version: str) -> str:
    """The minor before that of a version."""
    major, current = number(version)[:2]
    return f"{major}.{current - 1}"


def untested_on(drill: Drill, plan: Plan) -> str:
    """Why nobody knows yet whether the drill works on such a lab; empty when its test has passed there."""
    profile = "modern" if plan.profile == "offline" else plan.profile
    if profile in drill.tested:
        return ""
    others = f": only on {' and '.join(drill.tested)}" if drill.tested else ""
    return f"not tested on a {profile} lab yet{others}"


def lab_names(plan: Plan) -> dict[str, str]:
    """The lab's names under the placeholders of texts and steps; the drills' worker is the last one."""
    workers = plan.workers or (plan.control_plane,)
    return {
        "control_plane": plan.control_plane.name,
        "control_plane_address": plan.control_plane.address,
        "worker": workers[-1].name,
        "worker_address": workers[-1].address,
        "first_worker": workers[0].name,
        "grace_period": str(plan.kubernetes.node_grace_period if plan.kubernetes else ""),
        "dns": plan.kubernetes.dns if plan.kubernetes else "",
    }


def filled(text: str, plan: Plan) -> str:
    """A text with the lab's own names."""
    return str(fill(text, lab_names(plan)))
