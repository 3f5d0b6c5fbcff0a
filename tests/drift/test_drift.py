"""Every way to break a lab is found by `labctl verify` under the right check, and nothing else is blamed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.drift import catalog
from tests.drift.catalog import Case
from tests.drift.conftest import PROVIDER, Lab

pytestmark = [pytest.mark.real, pytest.mark.takes(30)]

# A file that gets one JSON line per case: what docs/drift.md is made from.
RECORD = os.environ.get("LABCTL_DRIFT_RECORD", "")


def _parameters() -> Iterator[Any]:
    """Groups of cases of one kind; those that may not be done here are skipped one by one, with the reason."""
    chosen = catalog.chosen()
    for is_representative, docker in product((True, False), (False, True)):
        mine = [case for case in chosen if (case.representative, case.docker) == (is_representative, docker)]
        marks = [pytest.mark.representative] if is_representative else []
        marks += [pytest.mark.docker] if docker else []
        for group in catalog.together([case for case in mine if case.runs_on(PROVIDER)]):
            yield pytest.param(group, id=catalog.name_of(group), marks=marks)
        for case in mine:
            if not case.runs_on(PROVIDER):
                why = f"needs machines with a kernel of their own: {case.id} would reach the host's"
                yield pytest.param((case,), id=case.id, marks=[*marks, pytest.mark.skip(reason=why)])


@pytest.mark.parametrize("cases", list(_parameters()))
def test_a_break_is_found_under_its_own_check_and_nothing_else_is_blamed(lab: Lab, cases: tuple[Case, ...]) -> None:
    try:
        lab.apply([step for case in cases for step in case.breaks], "Break")
        began = time.monotonic()
        troubles = lab.troubles()
        seconds = time.monotonic() - began
    finally:
        lab.recover(cases)
    missed = {case.id: sorted(set(case.expect) - set(troubles)) for case in cases}
    strange = set.intersection(*(case.unexplained(set(troubles)) for case in cases))
    strange -= {identity for case in cases for identity in case.expect}
    if RECORD:
        with Path(RECORD).open("a", encoding="utf-8") as record:
            for case in cases:
                line = {"break": case.id, "provider": PROVIDER, "nodes": len(lab.addresses)}
                line |= {"seconds": round(seconds, 1), "together_with": len(cases) - 1}
                line |= {"reported": sorted(troubles), "missed": missed[case.id], "strange": sorted(strange)}
                record.write(json.dumps(line) + "\n")
    assert not any(missed.values()), f"not found: {missed}; reported: {troubles}"
    assert not strange, {one: troubles[one] for one in strange}


@pytest.mark.representative
def test_the_lab_is_healthy_again_after_all_representative_breaks(lab: Lab) -> None:
    lab.heal()
