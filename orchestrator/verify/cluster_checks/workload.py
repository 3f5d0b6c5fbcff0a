"""Checks that a real Deployment works: its pods start on every node, and exec and logs reach into them."""

from __future__ import annotations

from orchestrator.verify.workload import Workload


def test_rollout(workload: Workload) -> None:
    workload.assert_ready()


def test_spread(workload: Workload) -> None:
    placed = [pod.node for pod in workload.pods]
    twice = sorted({name for name in placed if placed.count(name) > 1})
    assert not twice, f"more than one pod was placed on {', '.join(twice)}"


def test_exec(workload: Workload) -> None:
    silent = [pod.node for pod in workload.pods if not workload.observed("resolver", pod.node)]
    assert not silent, f"no answer from the pods on {', '.join(silent)}"


def test_logs(workload: Workload) -> None:
    wrong = workload.unreadable_logs()
    assert not wrong, "; ".join(f"{node}: {why}" for node, why in wrong.items())
