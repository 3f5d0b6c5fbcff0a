"""The conformance suite on a real lab: a smoke set of its specs, an interrupted run, a lab that is not healthy."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from tests.e2e.conftest import User, poll

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.takes(900)]

LAB = """\
version: 1
name: conformance
provider: container
workers: {count: 2}
kubernetes: {version: "1.37.2"}
network: {subnet: auto}
"""
# One or two of each group of the project, none of which takes a minute.
SMOKE = "|".join(
    (
        "Secrets should be consumable from pods in volume with defaultMode",
        "DNS should provide DNS for services",
        "Pods should contain environment variables for services",
        "ReplicaSet should serve a basic image",
        "Watchers should observe add, update, and delete",
        "Kubectl label should update the label",
        "Variable Expansion should allow composing env vars",
        "should not allow privilege escalation when false",
    )
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("conformance"))
    (user.home / "lab.yml").write_text(LAB)
    user.good("bundle", "build", "--conformance", "--kubernetes", "1.37.2", "--yes", "--progress", "plain")
    try:
        user.good("provision", "--yes", "--progress", "plain")
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def namespaces(lab: User) -> list[str]:
    listing = lab.kubectl("get", "namespaces", "-l", "e2e-framework", "-o", "name")
    return listing.split()


def test_the_smoke_set_passes_with_a_report_in_each_form_and_leaves_nothing(lab: User) -> None:
    page, junit = lab.home / "suite.html", lab.home / "suite.xml"
    reports = ("--report", f"html={page}", "--report", f"junit={junit}")
    document = json.loads(lab.good("conformance", "--focus", SMOKE, *reports, "--output", "json"))
    failed = [check["id"] for check in document["checks"] if check["status"] != "ok"]
    assert not failed
    assert document["summary"]["ok"] >= 8
    assert "conformant" in page.read_text()
    assert len(list(ElementTree.parse(junit).getroot().iter("testcase"))) == document["summary"]["ok"]
    assert namespaces(lab) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_deletes_its_namespaces(lab: User, number: signal.Signals) -> None:
    argv = [*lab.labctl, "conformance", "--focus", "StatefulSet", "--progress", "plain"]
    with subprocess.Popen(argv, cwd=lab.home, env=lab.environment, stderr=subprocess.PIPE, text=True) as running:
        poll("a spec makes its namespace", lambda: namespaces(lab) != [], 120)
        running.send_signal(number)
        _, said = running.communicate(timeout=400)
    assert running.returncode == 130, said
    assert namespaces(lab) == []


def test_a_lab_that_is_not_healthy_is_refused(lab: User) -> None:
    lab.good("exec", "--on", "w2-k8s", "--", "sudo systemctl stop kubelet")
    try:
        done = lab.run("conformance", "--focus", SMOKE)
    finally:
        lab.good("exec", "--on", "w2-k8s", "--", "sudo systemctl start kubelet")
    assert done.returncode == 6, done.stderr
    assert "is not healthy, the suite would fail for it" in done.stderr
    assert "fix: labctl verify shows all of it" in done.stderr
