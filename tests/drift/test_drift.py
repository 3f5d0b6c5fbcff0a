"""Every way to break a lab is found by `labctl verify` under the right check, and nothing else is blamed."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.drift import catalogue
from tests.drift.catalogue import Case
from tests.e2e.conftest import User

pytestmark = pytest.mark.real

PROVIDER = os.environ.get("LABCTL_DRIFT_PROVIDER", "container")
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
    """A lab with one worker, and what was found in it so far."""

    user: User
    addresses: dict[str, str]
    ssh_config: Path
    found: list[str] = field(default_factory=list)

    def on(self, node: str, script: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a shell script on a node as root."""
        prelude = "export KUBECONFIG=/etc/kubernetes/admin.conf\n"
        prelude += f"CP={self.addresses['m-k8s']} W={self.addresses['w1-k8s']}\n"
        packed = base64.b64encode((prelude + script).encode()).decode()
        command = f"echo {packed} | base64 -d | sudo -H bash"
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), node, command], capture_output=True, text=True, timeout=timeout
        )

    def troubles(self) -> dict[str, str]:
        """The checks that `labctl verify` reports now, with their evidence."""
        import json

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
    user = User(tmp_path_factory.mktemp("drift"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        done = user.run("provision", "--yes", "--progress", "plain", timeout=3000)
        assert done.returncode == 0, done.stderr[-4000:]
        machines = user.json("status")["machines"]
        config = user.home / "ssh_config"
        config.write_text(user.run("export", "ssh-config").stdout)
        made = Lab(user, {one["name"]: one["address"] for one in machines}, config)
        yield made
        print("\n| break | found as | seconds |\n|---|---|---|", *made.found, sep="\n")
        if table := os.environ.get("LABCTL_DRIFT_TABLE"):
            Path(table).write_text("\n".join(made.found) + "\n")
    finally:
        user.run("destroy", "--yes", timeout=600)


CASES = [case for case in catalogue.load() if case.runs_on(PROVIDER)]


def _parameter(case: Case) -> Any:
    kind = "representative" if case.representative else "rest"
    return pytest.param(case, id=f"{kind}-{case.id}")


@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_a_break_is_found_under_its_own_check_and_nothing_else_is_blamed(lab: Lab, case: Case) -> None:
    try:
        done = lab.on(case.node, case.inject)
        assert done.returncode == 0, f"inject {shlex.quote(case.inject)}: {done.stderr}"
        began = time.monotonic()
        troubles = lab.troubles()
        seconds = time.monotonic() - began
    finally:
        lab.recover(case)
    lab.found.append(f"| {case.id} | {', '.join(case.expect)} | {seconds:.1f} |")
    missed = set(case.expect) - set(troubles)
    assert not missed, f"not found: {missed}; reported: {troubles}"
    strange = case.unexplained(set(troubles))
    assert not strange, {one: troubles[one] for one in strange}


def test_the_lab_is_healthy_again_after_all_representative_breaks(lab: Lab) -> None:
    lab.heal()
