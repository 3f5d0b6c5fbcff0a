"""A lab with Calico, where a bundle of the cache has its images: no package registry has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import bundle, paths
from tests.e2e.conftest import User, provisioned
from tests.e2e.network_policy import require_enforcement
from tests.selection.labs import record_lab

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.takes(150)]

LAB = """\
version: 1
name: calico
provider: container
workers: {count: 1}
kubernetes: {cni: calico}
network: {subnet: auto}
packages: {source: bundle}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    if not any(info.has_calico for info in bundle.list_bundles(paths.cache_dir())):
        pytest.skip("no bundle of the cache has Calico's images")
    user = User(tmp_path_factory.mktemp("calico"))
    with provisioned(user, LAB):
        yield user


def test_every_check_passes(lab: User) -> None:
    report = lab.json("verify")
    statuses = {check["id"]: check["status"] for check in report["checks"]}
    assert statuses["network.calico"] == "ok"
    assert "failed" not in statuses.values()
    record_lab(lab.home, __file__, "VXLAN; images made from Calico's sources")


def test_a_network_policy_denies_and_stops_denying(lab: User) -> None:
    require_enforcement(lab, shop="w1-k8s", customer="m-k8s")


def test_a_second_run_changes_nothing(lab: User) -> None:
    assert ", 0 tasks changed," in lab.run("provision", "--yes", "--full", "--progress", "plain").stdout
