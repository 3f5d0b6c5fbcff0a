"""A lab with the packages and images of two versions: nothing moves by itself, and a node is upgraded by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.drills.catalog import lab_names
from orchestrator.drills.messages import Wording
from orchestrator.events import discard
from orchestrator.lab.state import open_lab
from orchestrator.verbs.drill import grade
from tests.e2e.conftest import CHECKOUT
from tests.upgrades.conftest import NEXT, PATCH, Operator, build

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.takes(300)]

LAB = """\
version: 1
name: two-versions
provider: container
workers: {count: 1}
network: {subnet: auto}
"""
LISTED = "for one in kubeadm kubelet kubectl; do apt-cache madison $one; done"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A lab of the newer version; the bundle of the older one is in the cache."""
    for version in (PATCH, NEXT):
        build(version, CHECKOUT / "labctl")
    user = Operator(tmp_path_factory.mktemp("two-versions"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        user.good("provision", "--kubernetes", NEXT, "--yes")
        yield user
    finally:
        user.run("destroy", "--yes", timeout=600)


def on_worker(lab: Operator, command: str) -> str:
    return lab.good("exec", "--on", "w1-k8s", "--", "sudo", "sh", "-ec", command)


def test_without_a_second_bundle_the_drill_says_what_it_needs(lab: Operator) -> None:
    done = lab.run("drill", "start", "upgrade-by-hand")
    assert done.returncode == 2
    assert "labctl bundle attach 1.36" in done.stderr


def test_an_attached_bundle_is_there_and_moves_nothing(lab: Operator) -> None:
    changed = lab.json("bundle", "attach", "1.36")["changed"]
    assert all(changed.values()), changed
    assert lab.versions() == {f"v{NEXT}"}
    assert f"{PATCH}-" in on_worker(lab, LISTED)
    assert "registry.k8s.io/kube-proxy:v" + PATCH in on_worker(lab, "ctr -n k8s.io images list -q")
    assert f"kube-apiserver:v{PATCH}" not in on_worker(lab, "ctr -n k8s.io images list -q")
    simulated = on_worker(lab, "apt-get -s upgrade")
    assert "\nInst " not in simulated, simulated
    assert f"second bundle: kubernetes-{PATCH}" in lab.good("status")
    assert any(one["field"] == "packages.attached" for one in lab.json("plan")["decisions"])


def test_attaching_it_again_changes_nothing(lab: Operator) -> None:
    assert not any(lab.json("bundle", "attach", PATCH)["changed"].values())


def test_a_provision_keeps_it(lab: Operator) -> None:
    assert lab.json("provision", "--full", "--yes")["verify"]["ok"]
    assert f"{PATCH}-" in on_worker(lab, LISTED)


def test_both_repositories_answer_while_they_are_served(lab: Operator) -> None:
    lab.good("packages", "install", "tree", "--on", "w1-k8s")


def test_a_node_is_upgraded_by_hand_and_graded(lab: Operator) -> None:
    lab.good("drill", "start", "upgrade-by-hand")
    assert lab.versions() == {f"v{NEXT}", f"v{PATCH}"}
    assert lab.run("drill", "check").returncode != 0
    opened = open_lab(lab.home / "lab.yml")
    grade.apply_bad_fix(opened, emit=discard)
    assert lab.run("drill", "check").returncode != 0
    verdict = grade.solve(opened, emit=discard, wording=Wording("en", lab_names(opened.plan)))
    assert verdict.solved, [one for one in verdict.findings if not one.reached]
    assert lab.versions() == {f"v{NEXT}"}
    lab.good("drill", "check")
    lab.good("drill", "reset")


def test_a_drill_that_is_given_up_is_put_back(lab: Operator) -> None:
    lab.good("drill", "start", "upgrade-by-hand")
    lab.good("drill", "reset")
    assert lab.versions() == {f"v{NEXT}"}
    assert lab.json("verify")["ok"]


def test_one_that_left_the_cache_keeps_a_provision_from_starting(lab: Operator, tmp_path: Path) -> None:
    (found,) = (Path(one["path"]) for one in lab.json("bundle", "info")["bundles"] if one["kubernetes"] == PATCH)
    away = shutil.move(found, found.with_name(f".{found.name}"))
    try:
        done = lab.run("provision", "--full", "--yes")
    finally:
        shutil.move(away, found)
    assert done.returncode == 3
    assert "the attached bundle" in done.stderr
    assert "labctl bundle detach" in done.stderr


def test_detached_it_leaves_no_trace_in_the_package_manager(lab: Operator) -> None:
    lab.good("bundle", "detach")
    assert f"{PATCH}-" not in on_worker(lab, LISTED)
    assert lab.run("bundle", "detach").returncode == 2
    assert "second bundle" not in lab.good("status")
    assert lab.json("provision", "--yes")["verify"]["ok"]
