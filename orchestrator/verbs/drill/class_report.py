"""`labctl drill report`: the results of one lab, or exported ones of a whole class, as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.drills.catalog import load_all
from orchestrator.drills.progress import RESULTS_SCHEMA, Record
from orchestrator.drills.report import render_html
from orchestrator.errors import Problem, SpecError
from orchestrator.lab.state import Lab
from orchestrator.verbs.drill.listing import drill_roots
from orchestrator.verbs.drill.progress import drill_status


def write_report(lab: Lab | None, files: Sequence[Path], html: Path, *, given: Path | None, language: str) -> int:
    """Write the page; the number of students on it. Raises SpecError with every file that holds no results."""
    problems: list[Problem] = []
    results: list[Mapping[str, Any]] = [one for one in (_read(file, problems) for file in files) if one is not None]
    if problems:
        raise SpecError("not every file holds results", fix="labctl drill status --output json", problems=problems)
    if lab is not None:
        results.append(drill_status(lab).as_dict())
    titles = {slug: one.title.in_language(language) for slug, one in load_all(drill_roots(given)).drills.items()}
    try:
        html.write_text(render_html(results, titles, language), encoding="utf-8")
    except OSError as problem:
        raise SpecError(f"{html} cannot be written: {problem.strerror}", fix="--html another FILE") from None
    return len(results)


def _read(file: Path, problems: list[Problem]) -> dict[str, Any] | None:
    """The results in a file; a problem when it holds something else."""
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(body, dict) or body.get("schema") != RESULTS_SCHEMA or not isinstance(body["student"], str):
            raise ValueError(f"not a {RESULTS_SCHEMA} document")
        TypeAdapter(dict[str, Record]).validate_python(body["drills"])
    except (OSError, ValueError, KeyError) as problem:
        problems.append(Problem(str(problem).splitlines()[0], str(file), "labctl drill status --output json >FILE"))
        return None
    return body
