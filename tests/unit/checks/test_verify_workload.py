"""How long verify waits for the pods of its probe: a dead scheduler, a broken kubelet and a busy one are told apart."""

from __future__ import annotations

from typing import Any

from orchestrator.verify import workload


def pod(state: str = "", *, node: str = "w1-k8s", ready: bool = False) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": "Running" if ready else "Pending"}
    if state:
        status["containerStatuses"] = [{"state": {"waiting": {"reason": state}}}]
    status["conditions"] = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": "whoami"}, "spec": {"nodeName": node} if node else {}, "status": status}


def test_pods_that_nobody_places_are_given_up_first() -> None:
    placing, dead, busy = workload._PLACING_LIMIT, workload._ROLLOUT_LIMIT, workload._BUSY_LIMIT
    assert placing < dead < busy
    assert workload._rollout_limit([pod(node=""), pod(node="")], "") == placing


def test_a_node_whose_kubelet_does_not_take_its_pod_is_not_waited_for_longer() -> None:
    assert workload._rollout_limit([pod(ready=True), pod()], "") == workload._ROLLOUT_LIMIT


def test_a_kubelet_that_is_creating_a_pod_gets_longer_unless_it_complains() -> None:
    pods = [pod(ready=True), pod("ContainerCreating")]
    assert workload._rollout_limit(pods, "") == workload._BUSY_LIMIT
    assert workload._rollout_limit(pods, 'failed to find plugin "bridge"') == workload._ROLLOUT_LIMIT


def test_an_image_that_cannot_be_had_is_not_waited_for_longer() -> None:
    assert workload._rollout_limit([pod("ErrImageNeverPull")], "") == workload._ROLLOUT_LIMIT
