"""What the drill kill-pid-1 wants in the end, beside checks of `labctl verify`."""

import json

import pytest


@pytest.mark.check(id="drill.same_pod", layer="workload")
def test_it_is_the_same_pod(cluster):
    about = json.loads(cluster.answer("-n drill get pod victim -o json"))["metadata"]
    assert about.get("annotations", {}).get("labctl.drill/first") == "yes", "this pod is another one"


@pytest.mark.check(id="drill.restarted", layer="workload")
def test_its_container_was_started_anew(cluster):
    status = json.loads(cluster.answer("-n drill get pod victim -o json"))["status"]["containerStatuses"][0]
    assert status["restartCount"] > 0, "its container was not started anew"
    assert status["ready"], "its container is not ready yet"
