"""A lab of the profile `teaching` sees a silent node sooner than Kubernetes does by itself, and only a silent one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.conftest import User, poll, provisioned

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.story, pytest.mark.takes(60)]

NODE = "w1-k8s"
LAB = "version: 1\nprofile: teaching\nprovider: container\nworkers: {count: 1}\nnetwork: {subnet: auto}\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("teaching"))
    with provisioned(user, LAB):
        yield user


def ready(user: User) -> Any:
    """The Ready condition of the worker."""
    node = json.loads(user.kubectl("get", "node", NODE, "-o", "json"))
    return next(one for one in node["status"]["conditions"] if one["type"] == "Ready")


def test_a_silent_node_is_not_ready_before_kubernetes_own_grace_period_ends(lab: User) -> None:
    assert ready(lab)["status"] == "True"
    lab.good("exec", "--on", NODE, "--", "sudo", "systemctl", "stop", "kubelet")
    poll("the node is NotReady", lambda: ready(lab)["status"] == "Unknown", seconds=120)
    lease = json.loads(lab.kubectl("-n", "kube-node-lease", "get", "lease", NODE, "-o", "json"))["spec"]
    assert lease["leaseDurationSeconds"] == 16
    silent = datetime.fromisoformat(ready(lab)["lastTransitionTime"]) - datetime.fromisoformat(lease["renewTime"])
    assert 16 <= silent.total_seconds() + 1 < 40, silent
    lab.good("exec", "--on", NODE, "--", "sudo", "systemctl", "start", "kubelet")
    poll("the node is Ready again", lambda: ready(lab)["status"] == "True", seconds=120)


def test_pods_leave_a_lost_node_after_half_a_minute(lab: User) -> None:
    lab.kubectl("create", "deployment", "web", "--image", "registry.k8s.io/pause:3.10", "--replicas", "1")
    poll("there is a pod", lambda: lab.kubectl("get", "pods", "-l", "app=web", "-o", "name").strip())
    (pod,) = json.loads(lab.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    lab.kubectl("delete", "deployment", "web")
    seconds = {one["key"]: one["tolerationSeconds"] for one in pod["spec"]["tolerations"]}
    assert seconds == {"node.kubernetes.io/not-ready": 30, "node.kubernetes.io/unreachable": 30}


def test_a_drill_says_how_long_this_lab_waits(lab: User) -> None:
    assert "after 16 s" in lab.run("drill", "start", "kubelet-down", "--lang", "en").stderr
    solved = lab.run("drill", "solve", "--yes", "--lang", "en")
    assert "real clusters wait\n50 s" in solved.stdout, solved.stdout
    lab.good("drill", "reset")
