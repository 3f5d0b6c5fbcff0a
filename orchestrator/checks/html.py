"""The report as one self-contained HTML page: summary, layers x nodes, each problem with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .model import STATUSES, Report, Result
from .text import summary

if TYPE_CHECKING:
    from jinja2 import Template

_WORST = (*STATUSES[:4], "ok", "not_applicable")


def page_template(file: Path) -> Template:
    """The template of a page, which escapes all that is put into it."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(file.name)


def render_html(report: Report) -> str:
    """The page; it needs no network, no script and no other file."""
    return page_template(Path(__file__).parent / "templates" / "report.html.j2").render(
        report=report,
        summary=summary(report),
        started=report.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        columns=[*report.nodes, ""],
        whole="cluster, host" if report.nodes else report.subject if report.kind.unit == "checks" else "passed",
        cells={(layer, node): _cell(report, layer, node) for layer in report.layers for node in (*report.nodes, "")},
        counts=[(status, report.count(status)) for status in STATUSES if report.count(status)],
        waiting=report.select("not_run"),
        reasons=_ids_by_reason(report.select("not_applicable")),
    )


def _cell(report: Report, layer: str, node: str) -> dict[str, Any]:
    results = report.select(*STATUSES, layer=layer, node=node)
    worst = next((status for status in _WORST if any(result.status == status for result in results)), "")
    return {
        "status": worst,
        "passed": report.count("ok", layer=layer, node=node),
        "total": len(results) - report.count("not_applicable", layer=layer, node=node),
        "ids": [result.id for result in results if result.status == worst],
    }


def _ids_by_reason(results: Iterable[Result]) -> dict[str, list[str]]:
    ids: dict[str, dict[str, None]] = {}
    for result in results:
        ids.setdefault(result.evidence, {})[result.id] = None
    return {reason: list(names) for reason, names in ids.items()}
