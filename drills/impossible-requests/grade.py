"""What the drill impossible-requests wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    ready = cluster.ready_pods("drill", "shop")
    assert ready == 1, f"{ready} of 1 pods are ready"


@pytest.mark.check(id="drill.requests", layer="workload")
def test_it_requests_a_little(cluster):
    pod = json.loads(cluster.answer("-n drill get deployment shop -o json"))["spec"]["template"]["spec"]
    cpu = pod["containers"][0].get("resources", {}).get("requests", {}).get("cpu", "")
    assert cpu.endswith("m"), f"it requests {cpu or 'no'} CPU"
    assert 0 < int(cpu.removesuffix("m")) <= 200, f"it requests {cpu}"
