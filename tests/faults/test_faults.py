"""Every fault is healed by plain provision into a lab that is verified, or refused with a remedy that works."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import catalog, record
from tests.faults.catalog import Case, Kind
from tests.faults.workbench import SIGNALLED, Reader, Workbench

pytestmark = [pytest.mark.real, pytest.mark.takes(40)]

PROVIDER = os.environ.get("LABCTL_FAULTS_PROVIDER", "container")
# How often labctl is killed at a random moment: `./test full kills`.
RANDOM = os.environ.get("LABCTL_FAULTS_RANDOM", "")
TABLE = os.environ.get("LABCTL_FAULTS_TABLE", "")
# A bug of labctl (1) or a usage error (2) is never how a struck run ends.
ENDINGS = (0, 3, 4, 5, 6, 130, *SIGNALLED)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Workbench]]:
    """A lab of each kind for all cases, made when the first case needs it."""
    named = os.environ.get("LABCTL_FAULTS_HOME")
    top = Path(named) if named else tmp_path_factory.mktemp("faults")
    made: dict[Kind, Workbench] = {}

    def bench(case: Case) -> Workbench:
        if case.lab not in made:
            fresh = Workbench(Reader(top / case.lab), PROVIDER, case.lab)
            fresh.make(provision=case.start != "nothing")
            made[case.lab] = fresh
        return made[case.lab]

    try:
        yield bench
    finally:
        for each in made.values() if not named else ():
            each.user.run("destroy", "--yes", timeout=600)


def _parameters() -> list[Any]:
    found = []
    for case in catalog.load():
        marks = [pytest.mark.representative] if case.representative else []
        marks += [pytest.mark.kills] if case.moment and case.moment.random else []
        times = int(RANDOM or case.times) if case.moment and case.moment.random else case.times
        for number in range(1, times + 1):
            name = case.id if times == 1 else f"{case.id}-{number}"
            found.append(pytest.param(replace(case, number=number), id=name, marks=marks))
    return [one for one in found if one.values[0].runs_on(PROVIDER)]


@pytest.mark.parametrize("case", _parameters())
def test_a_fault_is_healed_or_refused_with_a_remedy_that_works(
    benches: Callable[[Case], Workbench], case: Case
) -> None:
    bench = benches(case)
    if why := bench.lacks(case):
        pytest.skip(why)
    if case.start != "nothing":
        if not (bench.state / "plan.json").exists():
            bench.mend()
        bench.remember()
    began = time.monotonic()
    try:
        bench.bring_to(case.start)
        outcome, seconds = _endure(bench, case)
    except BaseException as problem:
        if TABLE and isinstance(problem, Exception):
            record.note(Path(TABLE), case, "failed", time.monotonic() - began)
        bench.apply(case.repair)
        bench.mend()
        raise
    if TABLE:
        record.note(Path(TABLE), case, outcome, seconds)


def _endure(bench: Workbench, case: Case) -> tuple[str, float]:
    """Do the fault and what follows it; the outcome in words, and the seconds from the fault to the proof."""
    if case.moment is not None:
        code = bench.strike(case)
        assert code in (case.first or ENDINGS), f"the struck run ended with {code}:\n{bench.struck()}"
        began = time.monotonic()
    else:
        began = time.monotonic()
        bench.apply(case.breaks)
    outcome = "healed"
    if case.expect is not None:
        done = bench.provision()
        assert done.returncode == case.expect.code, f"{done.returncode}: {done.stdout[-500:]}{done.stderr[-2500:]}"
        assert case.expect.says in done.stderr, done.stderr[-2500:]
        assert "fix:" in done.stderr, done.stderr[-2500:]
        typed = bench.type_remedy(done.stderr, case.expect.remedy) if case.expect.remedy else ""
        outcome = f"refused ({case.expect.code}), healed after " + (f"`{_short(typed)}`" if typed else "its fix")
    bench.apply(case.repair)
    done = bench.provision()
    seconds = time.monotonic() - began
    assert done.returncode == 0, f"not healed: {done.returncode}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
    bench.verify(done.stdout)
    bench.lasted[case.start] = seconds
    return outcome, seconds


def _short(command: str) -> str:
    """A command without what is different in every run."""
    words = command.split()
    return " ".join(word if len(word) < 30 else "..." for word in words)
