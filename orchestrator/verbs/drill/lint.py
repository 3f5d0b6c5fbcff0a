"""`labctl drill lint`: every problem of every drill, and the ids of the checks that drills may name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator import paths, verify
from orchestrator.drills import load
from orchestrator.drills.catalogue import directories
from orchestrator.errors import Problem, SpecError


def lint(given: Sequence[Path]) -> tuple[int, list[Problem]]:
    """How many drills were looked at, and every problem of them."""
    known = known_checks()
    count = 0
    problems: list[Problem] = []
    for root in given or (paths.data("drills"),):
        if not root.is_dir():
            raise SpecError(f"{root} is not a directory", fix="labctl drill lint DIRECTORY")
        for directory in directories(root):
            count += 1
            try:
                load(directory, known)
            except SpecError as error:
                problems += error.problems or (Problem(error.message, directory.name, error.fix),)
    if not count:
        raise SpecError("there is no drill to look at", fix="labctl drill lint DIRECTORY")
    return count, problems


def known_checks() -> frozenset[str]:
    """The ids of all checks of `labctl verify`."""
    return frozenset().union(*verify.ids_by_file().values())
