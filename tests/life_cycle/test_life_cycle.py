"""A lab in phases, saved and brought back: what a teacher and a learner do to a lab that is meant to be broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.providers.container import engine
from tests.e2e.conftest import CHECKOUT, User, poll
from tests.selection.labs import record_lab

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.takes(90)]

LAB = """\
version: 1
name: saved
provider: container
workers: {count: 1}
network: {subnet: auto}
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "labctl/nginx:1.22"}]
"""


class Teacher(User):
    """A user whose lab is called `saved`."""

    @property
    def state(self) -> Path:
        return self.home / ".labctl" / "saved"

    def killed(self, *args: str, when: str) -> None:
        """Run labctl and end it with SIGKILL as soon as it says `when`."""
        running = subprocess.Popen(
            [*self.labctl, *args, "--progress", "plain"],
            cwd=self.home, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stderr is not None
        for line in running.stderr:
            if when in line:
                running.send_signal(signal.SIGKILL)
                break
        running.communicate(timeout=600)
        assert running.returncode == -signal.SIGKILL, f"it never said {when!r}"

    def parts(self) -> list[str]:
        """What Docker holds of snapshots of this lab."""
        attached = engine.attach()
        assert attached is not None
        uuid = json.loads((self.state / "identity.json").read_text())["uuid"]
        wanted = {"label": [f"labctl.uuid={uuid}"]}
        try:
            images = [item["Id"] for item in attached.api.images(filters=wanted)]
            volumes = attached.api.volumes(filters=wanted)["Volumes"] or []
            return [*images, *(v["Name"] for v in volumes if "labctl.snapshot" in (v["Labels"] or {}))]
        finally:
            attached.close(lambda event: None, "close")

    def host_keys(self) -> dict[str, str]:
        """The public host key of each node; who answers first is not promised."""
        answers = self.good("exec", "--output", "json", "--", "cat /etc/ssh/ssh_host_ed25519_key.pub")
        return {answer["node"]: answer["stdout"] for answer in json.loads(answers)["nodes"]}

    def configmaps(self) -> str:
        return self.kubectl("get", "configmaps", "-o", "name")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    """Made in two parts, as a teacher does who shows kubeadm in between."""
    user = Teacher(tmp_path_factory.mktemp("saved"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        until = user.run("provision", "--yes", "--until", "runtime", "--output", "json", "--progress", "plain")
        assert until.returncode == 0, until.stderr[-4000:]
        (user.home / "until.json").write_text(until.stdout)
        (user.home / "between.txt").write_text(
            user.good("exec", "--", "kubeadm version -o short; ls /etc/kubernetes/manifests 2>/dev/null; true")
        )
        done = user.run("provision", "--yes", "--from", "control_plane", "--output", "json", "--progress", "plain")
        assert done.returncode == 0, done.stderr[-4000:]
        (user.home / "from.json").write_text(done.stdout)
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def test_until_a_phase_and_from_the_next_one_make_the_whole_lab(lab: Teacher) -> None:
    until = json.loads((lab.home / "until.json").read_text())
    assert until["phases"] == ["machines", "prepare", "runtime"]
    assert until["verify"] is None
    between = (lab.home / "between.txt").read_text()
    version = json.loads((lab.state / "plan.json").read_text())["kubernetes"]["version"]
    assert between.count(f"v{version}") == 2
    assert "kube-apiserver" not in between
    rest = json.loads((lab.home / "from.json").read_text())
    assert rest["phases"] == ["control_plane", "workers", "network", "kubeconfig", "verify"]
    assert rest["verify"]["ok"]
    events = [json.loads(line) for line in (lab.state / "journal.jsonl").read_text().splitlines()]
    begun = [event["inputs"] for event in events if event["event"] == "RunStarted"]
    assert [(run["from"], run["until"]) for run in begun] == [("machines", "runtime"), ("control_plane", "verify")]
    results = {event["phase"]: event["result"] for event in events if event["event"] == "PhaseResult"}
    assert results["verify"] == {"ok": True, "failed": 0}
    record_lab(lab.home, __file__)


def test_status_knows_the_certificates_and_what_changed_since_the_last_verify(lab: Teacher) -> None:
    before: dict[str, Any] = lab.json("status")
    assert 300 < before["certificate_days"] < 400
    assert before["verified"]["ok"]
    assert before["drift"] == {"m-k8s": [], "w1-k8s": []}
    lab.good("exec", "--on", "w1-k8s", "--", "sudo touch /etc/kubernetes/kubelet.conf; sudo systemctl restart kubelet")
    after = lab.json("status")
    assert after["drift"]["m-k8s"] == []
    assert "/etc/kubernetes/kubelet.conf changed" in after["drift"]["w1-k8s"]
    assert "kubelet was restarted" in after["drift"]["w1-k8s"]
    poll("the lab is healthy again", lambda: lab.run("verify").returncode == 0, 120)
    assert lab.json("status")["drift"]["w1-k8s"] == []


def test_a_restored_lab_has_what_was_there_and_nothing_that_came_later(lab: Teacher) -> None:
    (lab.home / "web.yml").write_text(WEB)
    lab.kubectl("apply", "-f", "web.yml")
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    lab.kubectl("create", "configmap", "earlier")
    lab.good("exec", "--", "echo earlier | sudo tee /root/note")
    keys = lab.host_keys()
    saved = lab.json("snapshot", "save", "before")["snapshot"]
    assert saved["machines"] == ["m-k8s", "w1-k8s"]
    assert saved["bytes"] > 100 * 2**20
    assert lab.run("snapshot", "save", "before").returncode == 2

    lab.kubectl("create", "configmap", "later")
    lab.kubectl("delete", "deployment", "web")
    lab.good("exec", "--", "echo later | sudo tee /root/note /root/later")
    lab.good("exec", "--on", "m-k8s", "--", "sudo rm -rf /etc/kubernetes/manifests /var/lib/kubelet/config.yaml")
    poll("verify sees it", lambda: lab.run("verify").returncode == 6, 120)

    done = lab.json("snapshot", "restore", "before", "--yes")
    assert done["verify"]["ok"]
    assert "configmap/earlier" in lab.configmaps()
    assert "configmap/later" not in lab.configmaps()
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    note = lab.good("exec", "--", "sudo cat /root/note; sudo ls /root")
    assert note.count("earlier") == 2
    assert "later" not in note
    assert lab.host_keys() == keys
    assert lab.json("provision", "--yes")["verify"]["ok"]


def test_a_save_that_is_killed_leaves_nothing_half(lab: Teacher) -> None:
    parts = sorted(lab.parts())
    lab.killed("snapshot", "save", "cut", when="copy the machine")
    assert [each["name"] for each in lab.json("snapshot", "list")["snapshots"]] == ["before"]
    assert lab.json("start")["verify"]["ok"], "start wakes frozen machines"
    lab.good("snapshot", "save", "whole")
    lab.good("snapshot", "delete", "whole", "--yes")
    assert sorted(lab.parts()) == parts


def test_a_restore_that_is_killed_names_the_command_that_finishes_it(lab: Teacher) -> None:
    lab.killed("snapshot", "restore", "before", "--yes", when="restore the machine")
    refused = lab.run("provision", "--yes")
    assert refused.returncode == 4
    assert "fix: labctl snapshot restore before" in refused.stderr
    assert lab.json("status")["unfinished"] == "labctl snapshot restore before"
    assert lab.json("snapshot", "restore", "before", "--yes")["verify"]["ok"]
    assert lab.json("status")["unfinished"] == ""


APPLY = """
import sys
from orchestrator.events import discard
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.state import open_lab
from orchestrator.verbs import upgrade
lab = open_lab(None)
print(upgrade.upgrade_cluster(observe_lab(lab), discard))
"""


def test_the_steps_of_an_upgrade_run_and_the_workload_stays_up(lab: Teacher) -> None:
    """To the version that the lab has: every step but the change of packages is real."""
    servers = lab.kubectl("-n", "kube-system", "get", "deployments", "-o", "name")
    done = subprocess.run(
        [sys.executable, "-c", APPLY],
        cwd=lab.home,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "LABCTL_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert lab.json("provision", "--yes")["verify"]["ok"]
    assert lab.kubectl("-n", "kube-system", "get", "deployments", "-o", "name") == servers
    assert "configmap/earlier" in lab.configmaps()


def test_destroy_takes_the_snapshots_along(lab: Teacher) -> None:
    uuid = json.loads((lab.state / "identity.json").read_text())["uuid"]
    lab.good("destroy", "--yes")
    attached = engine.attach()
    if attached is not None:
        try:
            wanted = {"label": [f"labctl.uuid={uuid}"]}
            assert not attached.api.images(filters=wanted)
            assert not attached.api.volumes(filters=wanted)["Volumes"]
        finally:
            attached.close(lambda event: None, "close")
