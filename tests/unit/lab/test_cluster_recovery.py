"""When a restored cluster is worth being verified: decided from what its API server says."""

from __future__ import annotations

from typing import Any

from orchestrator.lab.cluster_recovery import endpoints_current, pods_restarted

SAVED = 1_790_000_000.0  # 2026-09-21T14:13:20Z
BEFORE, AFTER = "2026-09-21T14:00:00Z", "2026-09-21T14:14:00Z"


def pod(started: str, address: str = "172.16.0.2", *, ready: bool = True) -> dict[str, Any]:
    state = {"ready": ready, "state": {"running": {"startedAt": started}}}
    return {"status": {"podIP": address, "containerStatuses": [state]}}


def on_its_node(pod: dict[str, Any]) -> dict[str, Any]:
    return {**pod, "spec": {"hostNetwork": True}}


def endpoints(*addresses: str) -> dict[str, Any]:
    return {"subsets": [{"addresses": [{"ip": address} for address in addresses]}]}


def test_a_container_counts_when_it_is_ready_and_was_started_after_the_snapshot() -> None:
    assert pods_restarted([pod(AFTER)], SAVED)
    assert not pods_restarted([pod(AFTER), pod(BEFORE)], SAVED)
    assert not pods_restarted([pod(AFTER, ready=False)], SAVED)


def test_no_pod_at_all_is_no_cluster_yet() -> None:
    assert not pods_restarted([], SAVED)


def test_a_service_that_leads_to_an_old_address_is_waited_for() -> None:
    pods = [pod(AFTER, "172.16.0.8"), pod(AFTER, "172.16.0.9")]
    assert endpoints_current([endpoints("172.16.0.8", "172.16.0.9")], pods)
    assert not endpoints_current([endpoints("172.16.0.2", "172.16.0.9")], pods)


def test_a_service_that_leads_nowhere_is_waited_for() -> None:
    # Leader election of older versions keeps its record in Endpoints without addresses.
    assert not endpoints_current([{"metadata": {"name": "kube-scheduler"}}], [pod(AFTER)])


def test_without_a_pod_network_no_service_leads_anywhere_and_none_is_waited_for() -> None:
    waiting = {"spec": {}, "status": {"phase": "Pending"}}
    assert endpoints_current([endpoints()], [on_its_node(pod(AFTER)), waiting])
