"""An upgrade that is killed is finished by the same command, whenever it was."""

from __future__ import annotations

import pytest

from tests.upgrades.conftest import NEXT, PATCH, Operator

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.takes(300)]


@pytest.mark.parametrize("part", range(1, 11))
def test_killed_it_is_finished_by_the_same_command(lab: Operator, part: int) -> None:
    """Every 14 s of the some 200 that it takes."""
    if lab.versions() != {f"v{PATCH}"}:
        lab.good("upgrade", "--kubernetes", PATCH, "--yes")
    if "before" not in lab.good("snapshot", "list"):
        lab.good("snapshot", "save", "before")
    assert lab.killed_after(part * 14, "upgrade", "--kubernetes", NEXT, "--yes")
    refused = lab.run("provision", "--yes")
    assert refused.returncode == 0 or f"labctl upgrade --kubernetes {NEXT}" in refused.stderr
    assert lab.json("upgrade", "--kubernetes", NEXT, "--yes")["verify"]["ok"]
    assert lab.versions() == {f"v{NEXT}"}
    assert lab.json("snapshot", "restore", "before", "--yes")["verify"]["ok"]
