"""A class's results as one self-contained HTML page: students down, drills across. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.checks.html import page_template

from .messages import duration


def render_html(results: Sequence[Mapping[str, Any]], titles: Mapping[str, str], language: str) -> str:
    """The page for `labctl/drill-results/v1` documents; it needs no network, no script and no other file."""
    done = {slug for one in results for slug in one["drills"]}
    columns = [slug for slug in titles if slug in done] + sorted(done - set(titles))
    rows = [
        {
            "student": one["student"],
            "solved": sum(1 for record in one["drills"].values() if record["solved"]),
            "cells": [_cell(one["drills"].get(slug), language) for slug in columns],
        }
        for one in results
    ]
    return page_template(Path(__file__).parent / "templates" / "class.html.j2").render(
        language=language,
        columns=[(slug, titles.get(slug, slug)) for slug in columns],
        rows=sorted(rows, key=lambda row: (-int(row["solved"]), str(row["student"]))),
    )


def _cell(record: Mapping[str, Any] | None, language: str) -> dict[str, str]:
    if record is None:
        return {"kind": "none", "text": "", "more": ""}
    more = f"{record['attempts']} / {record['checks']} / {record['hints'] if record['hints'] is not None else '-'}"
    if record["solved"]:
        return {"kind": "solved", "text": duration(float(record["seconds"]), language), "more": more}
    return {"kind": "shown" if record["shown"] else "tried", "text": "", "more": more}
