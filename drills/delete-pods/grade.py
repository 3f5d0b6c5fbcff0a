"""What the drill delete-pods wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.single_gone", layer="workload")
def test_the_bare_pod_is_gone(cluster):
    assert not cluster.answer("-n drill get pod single --ignore-not-found -o name").strip(), "single is still there"


@pytest.mark.check(id="drill.still_six", layer="workload")
def test_the_deployment_has_six_pods(cluster):
    ready = cluster.ready_pods("drill", "echo")
    assert ready == 6, f"{ready} pods are ready"


@pytest.mark.check(id="drill.one_replaced", layer="workload")
def test_one_pod_is_new(cluster):
    new = cluster.answer("-n drill get pods -l 'app=echo,!labctl.drill/first' -o name").split()
    assert new, "all pods of echo are the first ones"
