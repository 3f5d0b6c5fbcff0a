"""What the drill missing-configmap wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    ready = cluster.ready_pods("drill", "shop")
    assert ready == 1, f"{ready} of 1 pods are ready"


@pytest.mark.check(id="drill.greeting", layer="workload")
def test_the_setting_arrives(cluster):
    done = cluster.kubectl("-n drill exec deployment/shop -- sh -c 'echo $GREETING'")
    assert done.stdout.strip() == "hello", "GREETING is not hello inside the pod"
