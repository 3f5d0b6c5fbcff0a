"""What verify reads from the API server's objects, and whom it believes to own a workload left behind."""

from __future__ import annotations

import json
import os
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.verify.cluster import Cluster, state_of
from orchestrator.verify.conditions import condition, ready
from orchestrator.verify.job import ClusterTarget
from orchestrator.verify.probe_manifest import has_living_owner, takes_pods

TARGET = ClusterTarget("m-k8s", "1.20.2", {"m-k8s": "192.168.56.10"}, "bridge_cni")


class Shell:
    """Stands for the control plane's machine: gives the prepared answers one after the other, keeps what was asked."""

    def __init__(self, *answers: tuple[int, str, str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def run(self, command: str, **_: Any) -> Any:
        self.asked.append(command)
        code, out, err = self.answers.pop(0)
        return SimpleNamespace(rc=code, stdout=out, stderr=err)


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "kube-system", **metadata},
        "spec": {},
        "status": status,
    }


CRASHING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (READY, "Running"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, "Running but not ready"),
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [CRASHING]}, "CrashLoopBackOff"),
        ({}, "Unknown"),
    ],
)  # fmt: skip
def test_a_pods_state_is_the_word_that_kubectl_shows(status: dict[str, Any], word: str) -> None:
    assert state_of(pod(status)) == word


def test_what_has_never_reported_is_not_ready() -> None:
    assert ready(pod(READY))
    assert not ready(pod({}))
    assert condition(pod({}), "Ready") == {}


def test_pods_that_are_being_deleted_are_not_counted() -> None:
    staying = pod(READY, labels={"k8s-app": "kube-dns"})
    leaving = pod(READY, labels={"k8s-app": "kube-dns"}, deletionTimestamp="now")
    other = pod(READY, labels={"k8s-app": "kube-proxy"})
    shell = Shell((0, json.dumps({"items": [staying, leaving, other]}), ""))
    cluster = Cluster(shell, TARGET)
    assert cluster.pods(k8s_app="kube-dns") == [staying]
    assert len(cluster.pods()) == 2
    assert len(shell.asked) == 1


def test_kubectls_last_words_become_the_evidence() -> None:
    shell = Shell((1, "", "warning: x\nThe connection to the server 192.168.56.10:6443 was refused\n"))
    with pytest.raises(AssertionError, match=r"`kubectl get nodes` failed: The connection to the server"):
        Cluster(shell, TARGET).answer("get nodes")


def test_without_time_to_settle_the_first_look_decides() -> None:
    looks: list[int] = []

    def look() -> str:
        looks.append(1)
        return "not yet"

    with pytest.raises(AssertionError, match="not yet"):
        Cluster(Shell(), TARGET).settled(look)
    assert len(looks) == 1


def test_within_the_time_to_settle_a_later_look_may_succeed() -> None:
    answers = ["not yet", "not yet", ""]
    target = ClusterTarget(**{**TARGET.__dict__, "settle": 20.0})
    Cluster(Shell(), target).settled(lambda: answers.pop(0))
    assert answers == []


def test_nodes_with_a_foreign_taint_or_a_cordon_take_no_probe_pod() -> None:
    own = {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}
    assert takes_pods({"spec": {}})
    assert takes_pods({"spec": {"taints": [own]}})
    assert takes_pods({"spec": {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}})
    assert not takes_pods({"spec": {"taints": [own, {"key": "a", "effect": "NoSchedule"}]}})
    assert not takes_pods({"spec": {"unschedulable": True}})


def test_a_workload_left_behind_is_known_by_its_dead_owner() -> None:
    mine = {"labctl/host": socket.gethostname(), "labctl/pid": str(os.getpid())}
    assert has_living_owner(mine)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert not has_living_owner({**mine, "labctl/pid": str(child)})
    assert not has_living_owner({})
    elsewhere = {"labctl/host": "another", "labctl/pid": "1"}
    assert has_living_owner({**elsewhere, "labctl/until": str(time.time() + 60)})
    assert not has_living_owner({**elsewhere, "labctl/until": str(time.time() - 60)})
