"""What `labctl watch pod` reads from a pod as the API server describes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from orchestrator.verbs.watch import reached, waiting

RUNNING: dict[str, Any] = {
    "metadata": {"name": "web", "uid": "u-1", "resourceVersion": "7"},
    "spec": {"nodeName": "w1-k8s", "containers": [{"name": "web"}, {"name": "log"}]},
    "status": {
        "startTime": "2026-01-01T00:00:00Z",
        "podIP": "172.16.1.2",
        "conditions": [
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"},
        ],
        "containerStatuses": [{"name": "web", "state": {"running": {}}}, {"name": "log", "state": {"running": {}}}],
    },
}


def changed(**status: Any) -> dict[str, Any]:
    pod = copy.deepcopy(RUNNING)
    pod["status"] |= status
    return pod


def last(pod: dict[str, Any]) -> str:
    return reached(pod)[-1][0]


def test_a_ready_pod_has_taken_all_eight_steps_in_order() -> None:
    names = [name for name, _, _ in reached(RUNNING)]
    assert names == ["requested", "stored", "scheduled", "seen", "sandbox", "network", "containers", "ready"]


def test_a_pod_without_a_node_waits_for_the_scheduler() -> None:
    assert last({**RUNNING, "spec": {"containers": []}, "status": {}}) == "stored"


def test_a_container_that_has_not_started_holds_the_pod_at_its_network() -> None:
    states = [{"name": "web", "state": {"running": {}}}, {"name": "log", "state": {"waiting": {}}}]
    assert last(changed(containerStatuses=states)) == "network"


def test_a_step_that_is_told_early_waits_for_the_ones_before_it() -> None:
    assert last(changed(podIP="")) == "sandbox"


def test_before_1_29_the_address_is_the_first_sign_of_the_sandbox() -> None:
    ready = [one for one in RUNNING["status"]["conditions"] if one["type"] == "Ready"]
    assert [seen for name, _, seen in reached(changed(conditions=ready)) if name == "sandbox"] == ["with its address"]
    assert last(changed(conditions=ready, podIP="")) == "seen"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        (
            {"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]},
            "web: ErrImagePull no",
        ),
        (
            {
                "containerStatuses": [],
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
                ],
            },
            "Unschedulable 0/2 nodes",
        ),
    ],
    ids=["nothing is wrong", "no image", "no node"],
)
def test_why_it_does_not_get_on_is_told_in_kubernetes_words(status: dict[str, Any], words: str) -> None:
    assert waiting(changed(**status)) == words
