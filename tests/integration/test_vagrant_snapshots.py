"""The real Vagrant keeps, lists, restores and deletes snapshots of all machines at once, as the provider asks it to."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from orchestrator.model import Plan
from orchestrator.providers.vagrant import provider as vagrant_provider
from orchestrator.providers.vagrant.output import snapshot_names
from orchestrator.providers.vagrant.vagrantfile import Box, render
from tests.integration.test_vagrant_virtualbox import BOX, Double, add_box, double, lab

__all__ = ["double", "lab"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("vagrant") is None, reason="Vagrant is not installed"),
]
LAB = "version: 1\nprofile: bare\nprovider: virtualbox\nworkers: {count: 1}\n"


def test_a_snapshot_of_all_machines_comes_and_goes(double: Double, lab: Callable[..., Plan]) -> None:
    add_box(double)
    double.write(render(lab(LAB), Box(BOX)))
    double.vagrant("up", "--no-provision")
    double.vagrant("halt")
    tag = f"{vagrant_provider.SNAPSHOT_PREFIX}before.0123abcd"
    double.vagrant("snapshot", "save", tag)
    double.vagrant("snapshot", "save", "their-own")
    assert [vm["snapshots"] for vm in double.machines().values()] == [[tag, "their-own"]] * 2

    listed = double.vagrant("snapshot", "list", "--machine-readable").stdout
    names = set(snapshot_names(listed))
    assert {tag, "their-own"} <= names
    assert vagrant_provider.unkept(names, {"before.0123abcd"}) == []
    assert vagrant_provider.unkept(names, set()) == [tag]

    double.vagrant("up", "--no-provision")
    double.vagrant("halt")
    double.vagrant("snapshot", "restore", "--no-provision", "--no-start", tag)
    assert {vm["state"] for vm in double.machines().values()} == {"poweroff"}
    assert [call[3] for call in double.calls() if call[:1] == ["snapshot"] and call[2] == "restore"] == [tag, tag]
    double.vagrant("snapshot", "delete", tag)
    assert [vm["snapshots"] for vm in double.machines().values()] == [["their-own"]] * 2
