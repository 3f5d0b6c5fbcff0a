"""The lab of the profile `book`: Kubernetes 1.20.2 on Docker, from Debian's source."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import User, provisioned

LAB = "version: 1\nprofile: book\nprovider: container\nworkers: {count: 1}\nnetwork: {subnet: auto}\n"

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("book"))
    with provisioned(user, LAB):
        yield user


def test_it_is_verified(lab: User) -> None:
    report = lab.json("verify")
    assert report["ok"], report["failed"]


def test_its_nodes_run_the_version_of_the_profile_on_docker(lab: User) -> None:
    nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    seen = {one["metadata"]["name"]: one["status"]["nodeInfo"] for one in nodes}
    assert set(seen) == {"m-k8s", "w1-k8s"}
    for facts in seen.values():
        assert facts["kubeletVersion"] == "v1.20.2"
        assert facts["containerRuntimeVersion"].startswith("docker://20.10")


def test_its_pods_are_containers_of_the_nodes_docker(lab: User) -> None:
    lab.kubectl("create", "deployment", "web", "--image", "labctl/nginx:1.22", "--replicas", "2")
    lab.kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    (name, *_) = lab.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").split()
    running = lab.good("exec", "--", "sudo", "docker", "ps", "--format", "{{.Names}}")
    assert f"_{name}_" in running, running
    lab.kubectl("delete", "deployment", "web")


def test_its_plan_says_that_no_network_policy_is_enforced(lab: User) -> None:
    plan = lab.good("plan")
    assert "not enforced" in plan, plan
