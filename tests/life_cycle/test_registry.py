"""A lab with a registry: the names of the book and own images start from it, and halt and snapshots keep it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import User, poll, provisioned

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.full_only, pytest.mark.takes(240)]

LAB = """\
version: 1
name: registry
provider: container
workers: {{count: 1}}
network: {{subnet: auto}}
kubernetes: {{version: {version}, runtime: {runtime}}}
registry: true
"""
REASON = "{.status.containerStatuses[0].state.waiting.reason}"


@pytest.fixture(scope="module", params=[("1.37.2", "containerd"), ("1.20.2", "docker")], ids=lambda pair: pair[1])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    version, runtime = request.param
    user = User(tmp_path_factory.mktemp("registry"))
    with provisioned(user, LAB.format(version=f'"{version}"', runtime=runtime)):
        yield user


def images(lab: User) -> dict[str, str]:
    return {image["name"]: image["note"] for image in lab.json("image", "list")["images"]}


def test_every_check_passes(lab: User) -> None:
    report = lab.json("verify")
    statuses = {check["id"]: check["status"] for check in report["checks"]}
    assert {statuses[f"registry.{name}"] for name in ("running", "answers", "images")} == {"ok"}
    assert "failed" not in statuses.values()


def test_the_list_says_what_stands_under_the_names_of_the_book(lab: User) -> None:
    notes = images(lab)
    assert notes["docker.io/library/nginx:latest"].startswith("labctl/nginx:1.22, a teaching image of labctl")
    assert notes["docker.io/sysnet4admin/echo-hname:latest"].startswith("labctl/whoami:1, a teaching image of labctl")


def test_the_names_of_the_book_run(lab: User) -> None:
    lab.kubectl("run", "nginx-pod", "--image=nginx")
    lab.kubectl("create", "deployment", "dpy-hname", "--image=sysnet4admin/echo-hname")
    lab.kubectl("wait", "--for=condition=Ready", "pod/nginx-pod", "--timeout=60s")
    lab.kubectl("rollout", "status", "deployment/dpy-hname", "--timeout=60s")


def test_an_own_image_runs_and_is_removed(lab: User) -> None:
    lab.good("image", "pull", "labctl/whoami:1", "app.tar")
    assert lab.json("image", "push", "app.tar", "--as", "mine/app:v1")["pushed"] == ["docker.io/mine/app:v1"]
    lab.kubectl("run", "own", "--image=mine/app:v1")
    lab.kubectl("wait", "--for=condition=Ready", "pod/own", "--timeout=60s")
    lab.good("image", "remove", "mine/app:v1")
    assert "docker.io/mine/app:v1" not in images(lab)


def test_an_image_that_nobody_has_is_refused(lab: User) -> None:
    lab.kubectl("run", "lacking", "--image=no/such:v1")
    query = ("get", "pod", "lacking", f"-o=jsonpath={REASON}")
    poll("the refusal", lambda: lab.kubectl(*query) in ("ErrImagePull", "ImagePullBackOff"))


def test_it_comes_back_with_the_machines(lab: User) -> None:
    before = images(lab)
    lab.good("halt")
    assert lab.json("start")["verify"]["ok"]
    assert images(lab) == before


def test_a_snapshot_brings_back_what_was_removed(lab: User) -> None:
    before = images(lab)
    lab.good("snapshot", "save", "filled")
    lab.good("image", "remove", "nginx")
    lab.good("snapshot", "restore", "filled", "--yes")
    assert images(lab) == before


def test_a_second_run_changes_nothing(lab: User) -> None:
    assert ", 0 tasks changed," in lab.run("provision", "--yes", "--full", "--progress", "plain").stdout
