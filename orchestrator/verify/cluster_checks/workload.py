"""Checks that a real Deployment works: its pods start on every node, and exec and logs reach into them."""

from __future__ import annotations

import pytest

from orchestrator.verify.workload import Workload

UP = ("control_plane.api",)


@pytest.mark.check(
    id="workload.rollout",
    layer="workload",
    remedy="kubectl get events -A --sort-by=.lastTimestamp",
    after=("control_plane.api",),
)
def test_rollout(workload: Workload) -> None:
    """A Deployment starts one pod on every node."""
    workload.up()


@pytest.mark.check(id="workload.spread", layer="workload", remedy="kubectl get nodes", after=UP)
def test_spread(workload: Workload) -> None:
    """The pods are on different nodes."""
    placed = [pod.node for pod in workload.pods]
    twice = sorted({name for name in placed if placed.count(name) > 1})
    assert not twice, f"more than one pod was placed on {', '.join(twice)}"


@pytest.mark.check(id="workload.exec", layer="workload", remedy="kubectl get pods -A -o wide", after=UP)
def test_exec(workload: Workload) -> None:
    """`kubectl exec` works in a pod of every node."""
    silent = [pod.node for pod in workload.pods if not workload.seen[pod.node].of("resolver")]
    assert not silent, f"no answer from the pods on {', '.join(silent)}"


@pytest.mark.check(id="workload.logs", layer="workload", remedy="kubectl get pods -A -o wide", after=UP)
def test_logs(workload: Workload) -> None:
    """`kubectl logs` reads a pod's log from every node."""
    wrong = workload.logs()
    assert not wrong, "; ".join(f"{node}: {why}" for node, why in wrong.items())
