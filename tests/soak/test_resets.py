"""50 times reset and provision without a leftover, and 20 commands at once on one lab: 1 works, 19 learn who does."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import User, provisioned

pytestmark = [pytest.mark.real, pytest.mark.takes(150)]

RESETS = 50
COMMANDS = 20
LAB = """\
version: 1
name: resets
provider: container
workers: {count: 1}
network: {subnet: auto}
packages: {source: debian}
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
    with provisioned(user, LAB):
        yield user


@pytest.mark.parametrize("number", range(1, RESETS + 1))
def test_a_lab_is_reset_and_built_again_without_a_leftover(
    soaker: Soaker, number: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("load", round(os.getloadavg()[0], 1))
    began = time.monotonic()
    reset = soaker.run("reset", "--yes", "--progress", "none")
    record_property("reset_seconds", round(time.monotonic() - began, 1))
    assert reset.returncode == 0, reset.stderr[-2000:]
    assert soaker.leftovers() == []
    built = soaker.run("provision", "--yes", "--progress", "none", "--output", "json")
    assert built.returncode == 0, built.stderr[-2000:]


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
    assert worked == 0
    assert len(told) == COMMANDS - 1, answers
