"""The lab that the drift suite breaks: made once for all tests of this directory, or one that is there already."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.drills.steps import Step
from orchestrator.errors import ConvergeError
from orchestrator.events import discard
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.state import open_lab
from orchestrator.verbs.drill.apply import apply_steps
from tests.drift.catalog import Case
from tests.e2e.conftest import User
from tests.selection.labs import record_lab

PROVIDER = os.environ.get("LABCTL_DRIFT_PROVIDER", "container")
# A directory with a lab that is already there, healthy and to be kept: for work on the cases.
KEPT = os.environ.get("LABCTL_DRIFT_LAB", "")
# What lost its API server for a minute is restarted by the kubelet after pauses of up to 80 seconds.
RUNTIME = os.environ.get("LABCTL_TEST_RUNTIME", "containerd")
RECOVERY_SECONDS = 240.0
# Every node is Ready and takes pods, the system's pods are Ready, kube-proxy runs everywhere.
RECOVERED = """\
kubectl get nodes >/dev/null && kubectl wait --for=condition=Ready node --all --timeout=15s &&
kubectl -n kube-system wait --for=condition=Ready pod --all --timeout=15s &&
kubectl get nodes -o jsonpath='{.items[*].spec.taints[*].key}' | grep -v node.kubernetes.io/ | grep -q . &&
[ "$(kubectl -n kube-system get pods -l k8s-app=kube-proxy -o name | wc -l)" = $NODES ]
"""
LAB = f"""\
version: 1
name: drift
provider: {PROVIDER}
workers: {{count: 1}}
network: {{subnet: auto, resolvers: [1.1.1.1, 8.8.8.8]}}
kubernetes: {{runtime: {RUNTIME}}}
"""


@dataclass
class Lab:
    """A running lab, and the way to its nodes."""

    user: User
    addresses: dict[str, str]
    ssh_config: Path

    def on(self, node: str, script: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a shell script on a node as root, or on the host."""
        prelude = "export KUBECONFIG=/etc/kubernetes/admin.conf\n"
        prelude += f"CP={self.addresses['m-k8s']} W={self.addresses['w1-k8s']} NODES={len(self.addresses)}\n"
        if node == "host":
            (state,) = (self.user.home / ".labctl").iterdir()
            argv = ["bash", "-c", f"LAB={shlex.quote(str(state))}\n{script}"]
            return subprocess.run(argv, cwd=self.user.home, capture_output=True, text=True, timeout=timeout)
        packed = base64.b64encode((prelude + script).encode()).decode()
        command = f"echo {packed} | base64 -d | sudo -H bash"
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), node, command], capture_output=True, text=True, timeout=timeout
        )

    def troubles(self) -> dict[str, str]:
        """The checks that `labctl verify` reports now, with their evidence."""
        done = self.user.run("verify", "--output", "json", timeout=300)
        assert done.returncode in (0, 6), done.stderr[-3000:]
        report: dict[str, Any] = json.loads(done.stdout)
        bad = [check for check in report["checks"] if check["status"] in ("failed", "error", "warning")]
        return {check["id"]: f"{check['node']}: {check['status']}: {check['evidence']}" for check in bad}

    def apply(self, steps: Sequence[Step], title: str) -> None:
        """Do steps as drills do them."""
        lab = open_lab(self.user.home / "lab.yml")
        names = {"lab": str(lab.directory.root), "nodes": str(len(self.addresses))}
        names |= {"cp": self.addresses["m-k8s"], "w": self.addresses["w1-k8s"]}
        apply_steps(observe_lab(lab), steps, title=title, emit=discard, names=names)

    def recover(self, cases: Sequence[Case]) -> None:
        """Undo breaks, the last one first and each whatever became of the others; wait until the cluster works."""
        backward = list(reversed(cases))
        try:
            self.apply([step for case in backward for step in case.repair], "Repair")
        except ConvergeError:
            failures = [problem for case in backward if (problem := self.try_repair(case))]
            assert not failures, failures
        if not any(case.recovers for case in cases):
            return
        deadline = time.monotonic() + RECOVERY_SECONDS
        while (last := self.on("m-k8s", RECOVERED)).returncode != 0:
            assert time.monotonic() < deadline, f"not recovered: {last.stdout}{last.stderr}"
            time.sleep(1)
        self.heal()

    def try_repair(self, case: Case) -> str:
        """Undo one break; what kept it from that, if anything."""
        try:
            self.apply(case.repair, f"Repair {case.id}")
        except ConvergeError as problem:
            return f"{case.id}: {problem}"
        return ""

    def heal(self) -> None:
        """Wait until verify has nothing to say: names, for one, follow a network that was cut after some seconds."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while troubles := self.troubles():
            assert time.monotonic() < deadline, f"not healthy again: {troubles}"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all cases; each case leaves it as it found it."""
    user = User(Path(KEPT) if KEPT else tmp_path_factory.mktemp("drift"))
    try:
        if not KEPT:
            (user.home / "lab.yml").write_text(LAB)
            done = user.run("provision", "--yes", "--progress", "plain", timeout=3000)
            assert done.returncode == 0, done.stderr[-4000:]
            record_lab(user.home, __file__)
        machines = user.json("status")["machines"]
        config = tmp_path_factory.mktemp("ssh") / "config"
        config.write_text(user.run("export", "ssh-config").stdout)
        yield Lab(user, {one["name"]: one["address"] for one in machines}, config)
    finally:
        if not KEPT:
            user.run("destroy", "--yes", timeout=600)
