"""The report as text: what failed first, in words and with the fix, then one line per layer."""

from __future__ import annotations

import io
from collections.abc import Sequence

from .report import STATUSES, CheckResult, Report

_WORDS = {
    "ok": "ok",
    "failed": "failed",
    "error": "no answer",
    "warning": "warning",
    "not_run": "not run",
    "not_applicable": "not applicable",
}
_COLOURS = {"ok": "green", "failed": "bold red", "error": "bold red", "warning": "yellow"}


def render_text(report: Report, *, terminal: bool = False, width: int = 100) -> str:
    """The report for people; with `terminal` in colour and as a table, else in plain lines without escapes."""
    from rich.console import Console
    from rich.table import Table
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
    for status in ("failed", "error", "warning"):
        for group in _together([result for result in report.results if result.status == status]):
            first = group[0]
            where = ", ".join(result.node for result in group if result.node) or first.place
            head = Text()
            head.append(f"{_WORDS[status].upper()} ", style=_COLOURS[status])
            head.append(f"{where}: ", style="bold")
            head.append(first.title)
            head.append(f"  [{first.id}]", style="dim")
            console.print(head)
            for line in first.evidence.splitlines():
                console.print(f"    {line}", soft_wrap=True)
            if first.remedy:
                console.print(Text(f"    fix: {first.remedy}", style="bold" if terminal else ""), soft_wrap=True)
    waiting = [result for result in report.results if result.status == "not_run"]
    for group in _together(waiting, by_evidence_only=True):
        console.print(f"NOT RUN {len(group)} checks: {group[0].evidence}", soft_wrap=True)
    if report.count("failed", "error", "warning", "not_run"):
        console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("LAYER")
    shown = [status for status in ("ok", *STATUSES[:-1]) if report.count(status)]
    for status in shown:
        table.add_column(_WORDS[status].upper(), justify="right")
    for layer in report.layers:
        counts = [report.count(status, layer=layer) for status in shown]
        cells = [
            Text(str(count or "-"), style=_COLOURS.get(s, "") if count else "dim")
            for s, count in zip(shown, counts, strict=True)
        ]
        table.add_row(Text(layer.replace("_", " ")), *cells)
    console.print(table)
    console.print()
    console.print(Text(summary(report), style="bold green" if report.ok else "bold red"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def summary(report: Report) -> str:
    """One sentence: whether the lab is as it should be, how many checks said so, how long it took."""
    on_nodes = [result for result in report.results if result.node]
    here = report.count(*STATUSES, layer="host", node="")
    once = len(report.results) - len(on_nodes) - here
    counts = [(len(on_nodes), f"on {len(report.nodes)} nodes"), (once, "of the cluster"), (here, "of the host")]
    words = [f"{number} {of}" for number, of in counts if number]
    words[:1] = [word.replace(" ", " checks ", 1) for word in words[:1]]
    counted = " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
    counted += f" in {report.seconds:.1f} s"
    if report.ok:
        applies = report.count("not_applicable")
        return f"{report.lab} is as it should be: {counted}" + (f", {applies} not applicable" if applies else "")
    parts = [f"{report.count(status)} {_WORDS[status]}" for status in STATUSES[:4] if report.count(status)]
    return f"{report.lab} is NOT as it should be: {', '.join(parts)} ({counted})"


def _together(results: Sequence[CheckResult], *, by_evidence_only: bool = False) -> list[list[CheckResult]]:
    """Results of one check with the same evidence on several nodes, as one group."""
    groups: dict[tuple[str, ...], list[CheckResult]] = {}
    for result in results:
        key = (result.evidence,) if by_evidence_only else (result.id, result.evidence, result.remedy)
        groups.setdefault(key, []).append(result)
    return list(groups.values())
