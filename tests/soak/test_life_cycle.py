"""50 times reset and provision without a leftover, and 20 commands at once on one lab: 1 works, 19 learn who does.

LABCTL_SOAK_RESETS changes the number of resets, LABCTL_SOAK_ADD=1 adds them to those on file. Results go to
bench/results/resets.json and commands-at-once.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import User
from tests.soak import results

pytestmark = pytest.mark.real

RESETS = int(os.environ.get("LABCTL_SOAK_RESETS", "50"))
COMMANDS = 20
LAB = """\
version: 1
name: resets
provider: container
workers: {count: 1}
network: {subnet: auto}
"""
# What a cluster leaves on a node if it is not taken off whole; each line is a leftover.
LEFTOVERS = r"""
for path in /etc/kubernetes/manifests/* /etc/kubernetes/pki/* /etc/kubernetes/*.conf /var/lib/etcd/member \
    /etc/cni/net.d/*; do
    [ ! -e "$path" ] || echo "file $path"
done
ip -o link | grep -oE ' (cni0|veth[^@:]*|flannel[^@:]*|cali[^@:]*|tunl0)' | sed 's/^/link/' | grep -v tunl0
iptables-save | grep -oE '^:(KUBE-|LABCTL-|CNI-|cali-)[A-Z0-9-]*' | sed 's/^/chain /'
grep -oE ' /var/lib/kubelet/pods/[^ ]*' /proc/mounts | sed 's/^/mount/'
docker ps -q | sed 's/^/container /'
ss -Hltn | grep -oE ':(6443|2379|2380|10250|10257|10259) ' | sed 's/^/port /'
true
"""


class Soaker(User):
    """Somebody who does the same over and over."""

    @property
    def state(self) -> Path:
        return self.home / ".labctl" / "resets"

    def leftovers(self) -> list[str]:
        """What of a cluster is on the nodes."""
        (self.home / "leftovers.sh").write_text(LEFTOVERS)
        assert self.run("cp", "leftovers.sh", "all:/tmp/").returncode == 0
        done = self.run("exec", "--output", "json", "--", "sudo", "sh", "/tmp/leftovers.sh")
        answers = json.loads(done.stdout)["nodes"]
        return [f"{answer['node']}: {line}" for answer in answers for line in answer["stdout"].splitlines()]


@pytest.fixture(scope="module")
def soaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soaker]:
    user = Soaker(tmp_path_factory.mktemp("resets"))
    (user.home / "lab.yml").write_text(LAB)
    try:
        done = user.run("provision", "--yes", "--progress", "plain")
        assert done.returncode == 0, done.stderr[-3000:]
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def test_a_lab_is_reset_and_built_again_without_a_leftover(soaker: Soaker) -> None:
    runs = results.earlier_runs("resets")
    done_before, commit = len(runs), results.commit()[:8]
    for _ in range(RESETS):
        began = time.monotonic()
        reset = soaker.run("reset", "--yes", "--progress", "none")
        taken = time.monotonic() - began
        left = soaker.leftovers() if reset.returncode == 0 else [reset.stderr[-500:]]
        began = time.monotonic()
        built = soaker.run("provision", "--yes", "--progress", "none", "--output", "json")
        run: dict[str, Any] = {"commit": commit, "reset_s": round(taken, 1)}
        run |= {"provision_s": round(time.monotonic() - began, 1)}
        run |= {"verified": built.returncode == 0, "load": round(os.getloadavg()[0], 1)}
        runs.append(run | ({"leftovers": left} if left else {}))
        dirty = len([run for run in runs if "leftovers" in run])
        facts = {"asked": 50, "done": len(runs), "with_leftovers": dirty, "runs": runs}
        command = f"LABCTL_SOAK_RESETS={RESETS}{results.ADDED} ./test soak -- -k without_a_leftover"
        results.keep("resets", command, facts)
        assert built.returncode == 0, built.stderr[-2000:]
    assert [run["leftovers"] for run in runs[done_before:] if "leftovers" in run] == []


def test_of_commands_at_once_one_works_and_the_others_learn_who(soaker: Soaker) -> None:
    verbs = ["provision --yes", "reset --yes", "halt", "start", "scale --workers 1 --yes", "snapshot save at-once"]
    holder = subprocess.Popen(
        [*soaker.labctl, "start", "--progress", "none"],
        cwd=soaker.home, env=soaker.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (soaker.state / "lock.holder").exists():
            assert time.monotonic() < deadline, "nobody holds the lock"
            time.sleep(0.01)
        losers = [
            subprocess.Popen(
                [*soaker.labctl, *verbs[index % len(verbs)].split(), "--progress", "none"],
                cwd=soaker.home, env=soaker.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for index in range(COMMANDS - 1)
        ]  # fmt: skip
        answers = [(loser.communicate(timeout=300)[1], loser.returncode) for loser in losers]
    finally:
        worked = holder.wait(timeout=600)
    told = [
        text for text, code in answers if code == 8 and f"process {holder.pid} " in text and "`labctl start`" in text
    ]
    document = {"commands": COMMANDS, "winners": int(worked == 0), "refused_and_told_who": len(told)}
    results.keep("commands-at-once", "./test soak", document)
    assert worked == 0
    assert len(told) == COMMANDS - 1, answers
