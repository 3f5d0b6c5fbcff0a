"""Every way to break a lab is found by `labctl verify` under the right check, and nothing else is blamed."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.drift import catalogue
from tests.drift.catalogue import Case
from tests.e2e.conftest import User

pytestmark = pytest.mark.real

PROVIDER = os.environ.get("LABCTL_DRIFT_PROVIDER", "container")
# A directory with a lab that is already there, healthy and to be kept: for work on the cases.
KEPT = os.environ.get("LABCTL_DRIFT_LAB", "")
# Names of the cases to run, separated by commas; all of them when empty.
ONLY = frozenset(filter(None, os.environ.get("LABCTL_DRIFT_ONLY", "").split(",")))
# A file that gets one JSON line per case: what docs/drift.md is made from.
RECORD = os.environ.get("LABCTL_DRIFT_RECORD", "")
RECOVERY_SECONDS = 120.0
LAB = f"""\
version: 1
name: drift
provider: {PROVIDER}
workers: {{count: 1}}
network: {{subnet: auto, resolvers: [1.1.1.1, 8.8.8.8]}}
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

    def recover(self, case: Case) -> None:
        """Undo a break and wait until the cluster works again."""
        done = self.on(case.node, case.restore)
        assert done.returncode == 0, f"restore: {done.stderr}"
        if case.wait == "true":
            return
        deadline = time.monotonic() + RECOVERY_SECONDS
        while (last := self.on("m-k8s", case.wait)).returncode != 0:
            assert time.monotonic() < deadline, f"not recovered: {last.stdout}{last.stderr}"
            time.sleep(1)
        self.heal()

    def heal(self) -> None:
        """Wait until verify has nothing to say: names, for one, follow a network that was cut after some seconds."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while troubles := self.troubles():
            assert time.monotonic() < deadline, f"not healthy again: {troubles}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all cases; each case leaves it as it found it."""
    user = User(Path(KEPT) if KEPT else tmp_path_factory.mktemp("drift"))
    try:
        if not KEPT:
            (user.home / "lab.yml").write_text(LAB)
            done = user.run("provision", "--yes", "--progress", "plain", timeout=3000)
            assert done.returncode == 0, done.stderr[-4000:]
        machines = user.json("status")["machines"]
        config = tmp_path_factory.mktemp("ssh") / "config"
        config.write_text(user.run("export", "ssh-config").stdout)
        yield Lab(user, {one["name"]: one["address"] for one in machines}, config)
    finally:
        if not KEPT:
            user.run("destroy", "--yes", timeout=600)


def _parameters() -> Iterator[Any]:
    """Groups of cases of one kind; those that may not be done here are skipped one by one, with the reason."""
    chosen = [case for case in catalogue.load() if not ONLY or case.id in ONLY]
    for kind, wanted in (("representative", True), ("rest", False)):
        mine = [case for case in chosen if case.representative == wanted]
        for group in catalogue.together([case for case in mine if case.runs_on(PROVIDER)]):
            name = group[0].id if len(group) == 1 else f"{group[0].id}-and-{len(group) - 1}-more"
            yield pytest.param(group, id=f"{kind}-{name}")
        for case in mine:
            if not case.runs_on(PROVIDER):
                why = f"needs machines with a kernel of their own: {case.id} would reach the host's"
                yield pytest.param((case,), id=f"{kind}-{case.id}", marks=pytest.mark.skip(reason=why))


@pytest.mark.parametrize("cases", list(_parameters()))
def test_a_break_is_found_under_its_own_check_and_nothing_else_is_blamed(lab: Lab, cases: tuple[Case, ...]) -> None:
    broken: list[Case] = []
    try:
        for case in cases:
            broken.append(case)
            done = lab.on(case.node, case.inject)
            assert done.returncode == 0, f"inject {case.id}: {shlex.quote(case.inject)}: {done.stderr}"
        began = time.monotonic()
        troubles = lab.troubles()
        seconds = time.monotonic() - began
    finally:
        for case in reversed(broken):
            lab.recover(case)
    missed = {case.id: sorted(set(case.expect) - set(troubles)) for case in cases}
    strange = set.intersection(*(case.unexplained(set(troubles)) for case in cases))
    strange -= {identity for case in cases for identity in case.expect}
    if RECORD:
        with Path(RECORD).open("a", encoding="utf-8") as record:
            for case in cases:
                line = {"break": case.id, "provider": PROVIDER, "nodes": len(lab.addresses)}
                line |= {"seconds": round(seconds, 1), "together_with": len(cases) - 1}
                line |= {"reported": sorted(troubles), "missed": missed[case.id], "strange": sorted(strange)}
                record.write(json.dumps(line) + "\n")
    assert not any(missed.values()), f"not found: {missed}; reported: {troubles}"
    assert not strange, {one: troubles[one] for one in strange}


def test_the_lab_is_healthy_again_after_all_representative_breaks(lab: Lab) -> None:
    lab.heal()
