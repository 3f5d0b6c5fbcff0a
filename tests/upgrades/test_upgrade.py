"""From 1.36.1 to 1.36.3 and on to 1.37.2, below a workload that never stops answering, and back by a snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field

import pytest

from tests.e2e.conftest import CHECKOUT, poll
from tests.selection.labs import record_lab
from tests.upgrades.conftest import FIRST, NEXT, PATCH, Operator

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.story, pytest.mark.takes(600)]

# What has to be answered during each upgrade, the pause between two, and how long an answer may take; in seconds.
REQUESTS, PAUSE, PATIENCE = 3000, 0.03, 5.0
NEED_MORE = """
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.state import open_lab
from orchestrator.verbs import upgrade
upgrade.NEEDED_MB = 10**9
upgrade.require_upgradable(observe_lab(open_lab(None)), "1.36.3")
"""


@dataclass
class Client:
    """A client on this host: one request after the other, each on a connection of its own, until it is stopped."""

    url: str
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Client:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stopped.wait(PAUSE):
            try:
                with urllib.request.urlopen(self.url, timeout=PATIENCE) as answer:
                    answer.read()
                self.answered += 1
            except OSError as problem:
                self.failed.append(f"{time.strftime('%X')} {problem}")


def address(lab: Operator) -> str:
    """The shop, through the control plane's node port: its machine stays while the pods on it go."""
    nodes = json.loads(lab.kubectl("get", "nodes", "-l", "node-role.kubernetes.io/control-plane", "-o", "json"))[
        "items"
    ]
    (ip,) = (one["address"] for one in nodes[0]["status"]["addresses"] if one["type"] == "InternalIP")
    return f"http://{ip}:30080/"


def upgrade_under_load(lab: Operator, version: str) -> None:
    """Upgrade, and keep asking until enough was answered."""
    with Client(address(lab)) as client:
        document = lab.json("upgrade", "--kubernetes", version, "--yes")
        poll("enough requests", lambda: client.answered >= REQUESTS or client.failed, seconds=300)
    assert document["verify"]["ok"]
    assert not client.failed, client.failed[:10]
    assert lab.versions() == {f"v{version}"}
    assert lab.json("verify")["ok"]


@pytest.mark.parametrize(
    ("version", "why"),
    [("1.35.3", "kubeadm never goes back"), ("1.38.0", "kubeadm goes from one minor to the next"), ("1.37.1", "")],
)
def test_what_cannot_be_is_refused_and_nothing_changes(lab: Operator, version: str, why: str) -> None:
    done = lab.run("upgrade", "--kubernetes", version, "--yes")
    assert done.returncode in (2, 3), done.stderr
    assert why in done.stderr
    assert "fix:" in done.stderr
    assert lab.versions() == {f"v{FIRST}"}


def test_while_a_drill_is_open_it_is_refused(lab: Operator) -> None:
    lab.good("drill", "start", "cordon-and-scale", "--no-wait")
    done = lab.run("upgrade", "--kubernetes", PATCH, "--yes")
    assert done.returncode == 2
    assert "the drill cordon-and-scale is open" in done.stderr
    assert "fix: labctl drill solve, or labctl drill reset" in done.stderr
    lab.good("drill", "reset")


def test_with_a_node_that_is_not_ready_it_is_refused(lab: Operator) -> None:
    lab.good("exec", "--on", "w2-k8s", "--", "sudo", "systemctl", "stop", "kubelet")
    poll("w2-k8s is NotReady", lambda: "NotReady" in lab.kubectl("get", "node", "w2-k8s"), seconds=120)
    done = lab.run("upgrade", "--kubernetes", PATCH, "--yes")
    assert done.returncode == 6
    assert "NotReady: w2-k8s; nothing was changed" in done.stderr
    assert "labctl provision repairs" in done.stderr
    assert lab.json("provision", "--yes")["verify"]["ok"]
    assert lab.versions() == {f"v{FIRST}"}


def test_with_too_little_disk_it_is_refused(lab: Operator) -> None:
    """The disk of a node is this host's: what an upgrade needs is raised here, since filling it would harm others."""
    done = subprocess.run(
        [sys.executable, "-c", NEED_MORE],
        cwd=lab.home,
        env={**lab.environment, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "MB free in /var/lib, packages and images of 1.36.3 need 1,000,000,000" in done.stderr


def test_to_the_next_patch_no_request_is_lost(lab: Operator) -> None:
    upgrade_under_load(lab, PATCH)


def test_to_the_next_minor_no_request_is_lost(lab: Operator) -> None:
    lab.good("snapshot", "save", "before")
    upgrade_under_load(lab, NEXT)
    assert lab.json("provision", "--yes")["verify"]["ok"]
    record_lab(lab.home, __file__, f"upgraded from {PATCH} below a workload")


def test_a_snapshot_brings_the_old_version_back(lab: Operator) -> None:
    assert lab.json("snapshot", "restore", "before", "--yes")["verify"]["ok"]
    assert lab.versions() == {f"v{PATCH}"}
    record_lab(lab.home, __file__, f"upgraded from {FIRST}, and brought back by a snapshot from a later version")
    lab.kubectl("rollout", "status", "deployment/shop", "--timeout=120s")
