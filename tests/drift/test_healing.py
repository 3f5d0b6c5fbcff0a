"""A drift between two runs is healed by a plain provision, or verify names another fix for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.drift import catalog
from tests.drift.catalog import Case
from tests.drift.conftest import PROVIDER, Lab

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.takes(45)]


def _parameters() -> Iterator[Any]:
    cases = [case for case in catalog.chosen() if case.runs_on(PROVIDER)]
    for is_docker in (False, True):
        for group in catalog.together([case for case in cases if case.docker is is_docker]):
            yield pytest.param(group, id=catalog.name_of(group), marks=[pytest.mark.docker] if is_docker else [])


@pytest.mark.parametrize("cases", list(_parameters()))
def test_a_plain_second_provision_heals_a_drift_or_names_another_fix(lab: Lab, cases: tuple[Case, ...]) -> None:
    try:
        lab.apply([step for case in cases for step in case.breaks], "Break")
        done = lab.user.run("provision", "--yes", "--output", "json", "--progress", "plain", timeout=900)
        # A role may stop at what is not labctl's, with the cause and the fix: a stranger's route, for one.
        assert done.returncode in (0, 5, 6), done.stderr[-4000:]
        assert done.returncode != 5 or "fix: repair the cause" in done.stderr, done.stderr[-4000:]
        checks = json.loads(done.stdout)["verify"]["checks"] if done.returncode != 5 else []
        left = [check for check in checks if check["status"] in ("failed", "error", "warning")]
    finally:
        for case in reversed(cases):
            lab.try_repair(case)
        lab.heal()
    promised = [check for check in left if check["remedy"].startswith("labctl provision")]
    assert not promised, f"`labctl provision` is named as the fix and left: {promised}"
    assert all(check["remedy"] for check in left), f"left without a fix: {left}"
