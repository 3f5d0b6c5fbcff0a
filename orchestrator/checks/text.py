"""The report as text: problems first, each with its evidence and remedy, then what is well, then one line in sum."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .model import STATUSES, Report, Result

if TYPE_CHECKING:
    from rich.table import Table

_WORDS = {
    "ok": "ok",
    "failed": "failed",
    "error": "no answer",
    "warning": "warning",
    "not_run": "not run",
    "not_applicable": "not applicable",
}
_STYLES = {"ok": "green", "failed": "bold red", "error": "bold red", "warning": "yellow"}


def render_text(report: Report, *, terminal: bool = False, width: int = 100) -> str:
    """The report for people; with `terminal` in colour, else in plain lines without escapes."""
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=terminal,
        no_color=not terminal,
        width=width,
        highlight=False,
        emoji=False,
        markup=False,
    )
    for group in _grouped(report.problems):
        first = group[0]
        places = ", ".join(result.node for result in group if result.node) or first.place
        head = Text(f"{_WORDS[first.status].upper()} ", style=_STYLES[first.status])
        head.append(f"{places}: " if report.nodes else "", style="bold")
        console.print(head.append(first.title).append(f"  [{first.id}]", style="dim"), soft_wrap=True)
        required = f"; required: {first.expected}" if first.expected else ""
        for line in f"{first.evidence}{required}".splitlines():
            console.print(f"    {line}", soft_wrap=True)
        if first.remedy:
            console.print(Text(f"    fix: {first.remedy}", style="bold" if terminal else ""), soft_wrap=True)
    for group in _grouped(report.select("not_run"), by_evidence=True):
        console.print(f"NOT RUN {len(group)} {report.kind.unit}: {group[0].evidence}", soft_wrap=True)
    if report.count(*STATUSES[:4]):
        console.print()
    counted = bool(report.nodes) or report.kind.unit == "specs"
    console.print(_counts_by_layer(report) if counted else _single_results(report), soft_wrap=not counted)
    console.print()
    for note in report.notes:
        console.print(note, soft_wrap=True)
    console.print(Text(summary(report), style="bold green" if report.ok else "bold red"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _counts_by_layer(report: Report) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(report.kind.layer.upper())
    shown = [status for status in ("ok", *STATUSES[:-1]) if report.count(status)]
    for status in shown:
        table.add_column(_WORDS[status].upper(), justify="right")
    for layer in report.layers:
        counts = {status: report.count(status, layer=layer) for status in shown}
        cells = [Text(str(n or "-"), style=_STYLES.get(status, "") if n else "dim") for status, n in counts.items()]
        table.add_row(Text(layer.replace("_", " ")), *cells)
    return table


def _single_results(report: Report) -> str:
    results = report.select("ok", "not_applicable")
    width = max((len(result.title) for result in results), default=0)
    return "\n".join(f"{_WORDS[result.status]:<15} {result.title:<{width}}  {result.evidence}" for result in results)


def summary(report: Report) -> str:
    """One sentence: the verdict, how many checks it rests on, and how long they took."""
    on_nodes = len([result for result in report.results if result.node])
    on_host = report.count(*STATUSES, layer="host", node="")
    on_cluster = len(report.results) - on_nodes - on_host
    whole = "" if report.kind.unit == "specs" else "of the cluster"
    counts = {f"on {len(report.nodes)} nodes": on_nodes, whole: on_cluster, "of the host": on_host}
    words = [f"{number} {place}" for place, number in counts.items() if number]
    words[:1] = [word.replace(" ", f" {report.kind.unit} ", 1).strip() for word in words[:1]]
    counted = " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) + f" in {report.seconds:.1f} s"
    shown = ("warning", "not_applicable") if report.ok else STATUSES[:4]
    parts = [f"{report.count(status)} {_WORDS[status]}" for status in shown if report.count(status)]
    if report.ok:
        return ", ".join([f"{report.subject}: {report.kind.success}; {counted}", *parts])
    return f"{report.subject}: not {report.kind.success}; {', '.join(parts)} ({counted})"


def _grouped(results: Iterable[Result], *, by_evidence: bool = False) -> list[list[Result]]:
    """Results of one check with the same evidence on several nodes, as one group."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        key = (result.evidence,) if by_evidence else (result.status, result.id, result.evidence, result.remedy)
        groups.setdefault(key, []).append(result)
    return list(groups.values())
