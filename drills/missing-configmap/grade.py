"""What the drill missing-configmap wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.ready", layer="workload")
def test_the_deployment_is_ready(cluster):
    status = json.loads(cluster.answer("-n drill get deployment shop -o json"))["status"]
    assert status.get("readyReplicas", 0) == 1, f"{status.get('readyReplicas', 0)} of 1 pods are ready"


@pytest.mark.check(id="drill.greeting", layer="workload")
def test_the_setting_arrives(cluster):
    done = cluster.kubectl("-n drill exec deployment/shop -- sh -c 'echo $GREETING'")
    assert done.stdout.strip() == "hello", "GREETING is not hello inside the pod"
