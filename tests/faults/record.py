"""docs/faults.md: every fault with what is expected of it, what a run of the suite found, and how long that took."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Mapping
from pathlib import Path

from tests.faults import catalog
from tests.faults.catalog import Case

FILE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

_HEAD = """\
# Faults: what happens to a lab when the world around labctl fails

`tests/faults/cases.yml` lists the faults as data, in the steps that drills have (`docs/how-to/write-a-drill.md`). Each
is done to a real lab with one control plane and one worker. Then plain `labctl provision` must end in a lab that is
verified, or say why it cannot, with an exit code of its own and a remedy, which the suite types as it stands. No run
may end as a bug of labctl, hang, or call a broken lab healthy: after each fault `labctl verify` and `kubectl` on the
machine itself are asked too.

    ./test full faults                               # all that container nodes allow, an hour at a time
    ./test fault_scenarios                           # part of ./test: changed inputs first, marked * before others
    LABCTL_FAULTS_PROVIDER=libvirt .venv/bin/pytest tests/faults  # on virtual machines, with the clock too
    LABCTL_FAULTS_TABLE=docs/faults.md ./test full faults # and write what was found into the table below

The seconds run from the fault to the end of the last `provision`, refusal and remedy among them. A dash stands where
no run has been recorded yet: such a fault is defined and not yet tested; `failed` stands where the last run of it did
not end as it must. A lab without Kubernetes (bare) takes the faults that have nothing to do with it.

| fault | lab | must be | found | seconds |
|---|---|---|---|---|
"""


def text(found: Mapping[str, tuple[str, str]]) -> str:
    """The whole page; `found` is outcome and seconds of each fault that was recorded."""
    return _HEAD + "".join(_row(case, *found.get(case.id, ("-", "-"))) for case in catalog.load())


def _row(case: Case, outcome: str, seconds: str) -> str:
    mark = "*" if case.representative else ""
    lab = f"{case.lab}, virtual machines" if not case.runs_on("container") else case.lab
    return f"| {case.id}{mark} | {lab} | {case.outcome} | {outcome} | {seconds} |\n"


def recorded(page: str) -> dict[str, tuple[str, str]]:
    """What a page says was found."""
    rows = re.findall(r"^\| ([\w-]+)\*? \| .* \| (.*?) \| ([\d-]+) \|$", page, re.MULTILINE)
    return {name: (outcome, seconds) for name, outcome, seconds in rows if seconds != "-"}


def note(file: Path, case: Case, outcome: str, seconds: float) -> None:
    """Put what was found into the page, at once: a run may be ended before its last case, and two may write it."""
    with file.open("a+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        page.seek(0)
        found = recorded(page.read())
        found[case.id] = (outcome, f"{seconds:.0f}")
        page.truncate(0)
        page.write(text(found))
