"""The report as one self-contained HTML page: summary, layers x nodes, each failure with its fix."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from .render import summary
from .report import STATUSES, CheckResult, Report

_WORST = ("failed", "error", "warning", "not_run", "ok", "not_applicable")


def render_html(report: Report) -> str:
    """The page; it needs no network, no script and no other file."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    started = datetime.datetime.fromtimestamp(report.at, tz=datetime.UTC)
    return environment.get_template("report.html.j2").render(
        report=report,
        summary=summary(report),
        started=started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        columns=[*report.nodes, ""],
        cells={(layer, node): _cell(report, layer, node) for layer in report.layers for node in (*report.nodes, "")},
        counts=[(status, report.count(status)) for status in STATUSES if report.count(status)],
        troubles=[r for status in ("failed", "error", "warning") for r in report.results if r.status == status],
        waiting=[r for r in report.results if r.status == "not_run"],
        absent=_reasons([r for r in report.results if r.status == "not_applicable"]),
    )


def _cell(report: Report, layer: str, node: str) -> dict[str, Any]:
    mine = [result for result in report.results if result.layer == layer and result.node == node]
    statuses = {result.status for result in mine}
    worst = next((status for status in _WORST if status in statuses), "")
    good = len([result for result in mine if result.status == "ok"])
    applying = len([result for result in mine if result.status != "not_applicable"])
    return {"status": worst, "good": good, "of": applying, "ids": [r.id for r in mine if r.status == worst]}


def _reasons(results: list[CheckResult]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in results:
        ids = found.setdefault(result.evidence, [])
        if result.id not in ids:
            ids.append(result.id)
    return found
