"""A healthy lab is called healthy every time: 200 verifies, 0 false alarms."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.drift.conftest import Lab

pytestmark = [pytest.mark.real, pytest.mark.takes(15)]

RUNS = 200


@pytest.fixture(scope="module")
def healthy_lab(lab: Lab) -> Lab:
    lab.heal()
    return lab


@pytest.mark.parametrize("run", range(1, RUNS + 1))
def test_a_healthy_lab_is_called_healthy(
    healthy_lab: Lab, run: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("nodes", len(healthy_lab.addresses))
    record_property("load", round(os.getloadavg()[0], 1))
    assert healthy_lab.troubles() == {}
