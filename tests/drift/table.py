"""Writes the table of docs/drift.md from the records of runs: `python -m tests.drift.table RECORD.jsonl...`.

A record is what LABCTL_DRIFT_RECORD names; the last line of a break counts, and only one that found it under its
own check and blamed nothing else. Breaks of which there is no record keep the row that the page has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.drift import catalog

PAGE = Path(__file__).resolve().parents[2] / "docs" / "drift.md"
BEGIN = "<!-- table: python -m tests.drift.table -->\n"
END = "<!-- end of table -->\n"


def rows(records: list[dict[str, Any]], held: Mapping[str, str]) -> list[str]:
    """One row per case: found as and time, or why there is none; `held` are the rows of the page."""
    last = {one["break"]: one for one in records}
    made = []
    for case in catalog.load():
        one = last.get(case.id)
        if one and not one["missed"] and not one["strange"]:
            others = f" (with {one['together_with']} others)" if one.get("together_with") else ""
            made.append(f"| {case.id} | {', '.join(case.expect)} | {one['seconds']:.1f}{others} |")
        elif not one and held.get(case.id, "").startswith(f"| {case.id} | {', '.join(case.expect)} |"):
            made.append(held[case.id])
        elif not case.runs_on("container"):
            made.append(f"| {case.id} | {', '.join(case.expect)} | virtual machines only: not run |")
        else:
            made.append(f"| {case.id} | {', '.join(case.expect)} | not tested |")
    return made


def main() -> None:
    """Put the table into the page, between its marks."""
    lines = [line for name in sys.argv[1:] for line in Path(name).read_text(encoding="utf-8").splitlines()]
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    held = {row.split("|")[1].strip(): row for row in rest.split(END)[0].splitlines()}
    table = ["| break | found as | seconds |", "|---|---|---|", *rows([json.loads(line) for line in lines], held)]
    PAGE.write_text(before + BEGIN + "\n".join(table) + "\n" + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
