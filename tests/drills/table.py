"""docs/drills.md: every drill and what a run has tested of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.drills.catalog import Catalog

HEAD = """\
# Drills

`labctl drill list` shows them; `docs/tutorials/drills.md` is a first one from start to end. Those below were tested
on a lab of container nodes (one control plane, two workers) by `./test full drills`: healthy lab, break, grading
finds what it should, a bad fix is not taken for a solution, the solution is, everything is put back, `labctl verify`
is green and no namespace or file of the drill is left. The seconds are those of that run on two busy cores. Where a
node has to fall silent, `start` waits with a countdown until Kubernetes says so: those seconds are Kubernetes' own
and stand in parentheses (`--no-wait` spares them). `swap-on` needs a kernel of its own: it passed on the lab of
emulated machines of `./test full vm` (`LABCTL_DRILLS_HOME=DIR .venv/bin/pytest tests/drills -k swap-on`), where it
took 5:28; no other drill ran there.

50 drills in a row (`./test full drill_repeats`), the lab verified after each: its state
directory grew by 34 bytes per drill, the host's memory by 50 MiB in all (`bench/results/drills-in-a-row.json`). On two
busy cores, where a second lab was reset and built again all the time: start 9 s (slowest 15), check 2 s (5), reset
18 s (30). On a quiet machine seven drills took 5 to 15 s to start, 2 to 4 to check, 12 to 14 to reset (that file at
9b2c43d).

| drill | section | level | start | check | solve | reset |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """The seconds that each step of a tested drill took; `waited` are those of `start` that Kubernetes needed."""

    start: float
    check: float
    solve: float
    reset: float
    waited: float = 0.0

    def cells(self) -> str:
        start, *rest = (f"{seconds:.1f}" for seconds in (self.start, self.check, self.solve, self.reset))
        return " | ".join([f"{start} ({self.waited:.1f})" if self.waited else start, *rest])


def held(file: Path) -> dict[str, str]:
    """The cells of the drills that an earlier run has written."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0].startswith("`"):
            found[cells[0].strip("`")] = " | ".join(cells[3:])
    return found


def write(file: Path, catalog: Catalog, rows: Mapping[str, Row]) -> None:
    """Write the page anew: fresh rows, and for the others those that it has."""
    known = {**held(file), **{slug: row.cells() for slug, row in rows.items()}}
    lines = [
        f"| `{one.slug}` | {one.section} | {one.level} | {known[one.slug]} |"
        for one in catalog.drills.values()
        if one.slug in known
    ]
    file.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
