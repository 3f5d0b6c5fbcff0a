"""What a reader does beside a drill: work of the same names, and a node that is destroyed in the middle."""

from __future__ import annotations

import json
import subprocess

import pytest

from orchestrator.lab.drill_progress import read_progress
from orchestrator.lab.state import open_lab
from orchestrator.providers.container import engine
from tests.drills.test_drills import left_behind, user
from tests.e2e.conftest import User

pytestmark = [pytest.mark.real, pytest.mark.full_only]

__all__ = ["user"]


def on_control_plane(user: User, command: str) -> str:
    return user.good("ssh", "m-k8s", "--", f"sudo -H sh -c '{command}'")


@pytest.mark.takes(60)
def test_a_readers_own_namespace_and_files_survive_a_start_that_is_refused(user: User) -> None:
    user.kubectl("create", "namespace", "drill")
    user.kubectl("-n", "drill", "create", "configmap", "mine", "--from-literal=a=b")
    on_control_plane(user, "mkdir /root/drill && echo notes > /root/drill/notes.txt")
    try:
        refused = user.run("drill", "start", "run-or-create", "--yes")
        assert refused.returncode == 2, refused.stderr
        assert "what is yours already" in refused.stderr
        assert "sudo mv /root/drill /root/drill-mine" in refused.stderr
        assert "delete namespace drill" in refused.stderr
        assert read_progress(open_lab(user.home / "lab.yml")).current is None
        assert "mine" in user.kubectl("-n", "drill", "get", "configmaps", "-o", "name")
        assert "notes" in on_control_plane(user, "cat /root/drill/notes.txt")
    finally:
        user.kubectl("delete", "namespace", "drill", "--ignore-not-found")
        on_control_plane(user, "rm -rf /root/drill")


@pytest.mark.takes(240)
def test_a_node_destroyed_in_the_middle_comes_back_and_reset_ends_the_drill(user: User) -> None:
    """The way that the message names is typed: provision, then reset."""
    worker = open_lab(user.home / "lab.yml").plan.workers[-1].name
    user.good("drill", "start", "run-or-create", "--yes")
    user.kubectl("-n", "drill", "run", "nginx-pod", "--image=labctl/nginx:1.22")
    remove_machine(user, worker)
    for verb in (("check",), ("reset", "--yes")):
        refused = user.run("drill", *verb)
        assert refused.returncode == 4, refused.stderr
        assert f"{worker} is missing" in refused.stderr
        assert "fix: labctl provision makes it anew; then: labctl drill reset" in refused.stderr
    assert user.json("provision", "--yes")["verify"]["ok"]
    assert json.loads(user.good("drill", "status", "--output", "json"))["open"]["slug"] == "run-or-create"
    assert user.json("drill", "reset", "--yes")["ok"]
    assert not left_behind(open_lab(user.home / "lab.yml"))


def remove_machine(user: User, name: str) -> None:
    """Take a node's container away behind labctl's back."""
    plan, running = open_lab(user.home / "lab.yml").plan, engine.running()
    assert running is not None
    subprocess.run(
        ["docker", f"--host={running[0]}", "rm", "-f", f"{plan.name}-{plan.uuid[:8]}-{name}"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
