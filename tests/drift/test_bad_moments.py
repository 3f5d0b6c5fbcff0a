"""`labctl verify` when a lab is at its worst, when it is asked for nonsense, and when it is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from orchestrator.providers import ssh_access
from orchestrator.providers.container import engine
from tests.drift.conftest import PROVIDER, Lab

pytestmark = pytest.mark.real

# `labctl verify` gives itself 180 s; what it starts and cleans up comes on top.
LIMIT = 210.0


def report(lab: Lab, *options: str) -> tuple[dict[str, Any], float]:
    """The document of a verify of a broken lab, and how long it took."""
    began = time.monotonic()
    done = lab.user.run("verify", "--output", "json", *options, timeout=LIMIT + 60)
    assert done.returncode == 6, done.stderr[-2000:]
    document: dict[str, Any] = json.loads(done.stdout)
    return document, time.monotonic() - began


def statuses(document: dict[str, Any], node: str) -> dict[str, str]:
    return {check["id"]: check["status"] for check in document["checks"] if check["node"] == node}


def evidence(document: dict[str, Any], identity: str, node: str) -> str:
    (found,) = [check for check in document["checks"] if check["id"] == identity and check["node"] == node]
    return str(found["evidence"])


def troubles(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(check["id"], check["node"]) for check in document["checks"] if check["status"] in ("failed", "error")}


def by_engine(lab: Lab) -> str:
    """What a script on the host begins with to reach a node, `$LABEL-NODE`, by `docker` when SSH does not."""
    if PROVIDER != "container":
        pytest.skip("done to containers: their engine reaches a node that SSH does not")
    running = engine.running()
    assert running is not None
    about = lab.user.json("status")
    return f"export DOCKER_HOST={running[0]} LABEL={about['name']}-{about['uuid'][:8]}\n"


@contextmanager
def broken(lab: Lab, node: str, break_it: str, repair: str) -> Iterator[None]:
    """A break that is undone, and healed, whatever happens."""
    try:
        done = lab.on(node, break_it)
        assert done.returncode == 0, done.stderr
        yield
    finally:
        done = lab.on(node, repair, timeout=600)
        assert done.returncode == 0, done.stderr
        lab.heal()


def test_an_api_server_that_does_not_answer_is_one_failure_and_every_node_is_still_told(lab: Lab) -> None:
    freeze = "pkill -{} -x kube-apiserver"
    with broken(lab, "m-k8s", freeze.format("STOP"), freeze.format("CONT")):
        document, seconds = report(lab)
    assert seconds < LIMIT
    assert statuses(document, "")["control_plane.api"] in ("failed", "error")
    about_the_cluster = [check for check in document["checks"] if not check["node"] and check["layer"] != "host"]
    waiting = [check for check in about_the_cluster if check["status"] == "not_run"]
    assert [check["id"] for check in about_the_cluster if check not in waiting] == ["control_plane.api"]
    assert {check["evidence"].partition(" for ")[0] for check in waiting} == {"waits"}
    for node in lab.addresses:
        told = statuses(document, node)
        assert len([status for status in told.values() if status == "ok"]) > 15, told
        assert told["kubelet.running"] == "ok"


@pytest.mark.parametrize("which", ["workers", "control plane"])
def test_of_half_the_nodes_gone_each_is_named_and_the_rest_is_told(lab: Lab, which: str) -> None:
    nodes = list(lab.addresses)
    gone = ["m-k8s"] if which == "control plane" else nodes[len(nodes) // 2 :]
    docker = by_engine(lab)
    labctl = " ".join(lab.user.labctl)
    kill = docker + "docker kill " + " ".join(f"$LABEL-{name}" for name in gone)
    with broken(lab, "host", kill, f"{labctl} start --progress none"):
        document, seconds = report(lab)
    assert seconds < LIMIT
    for name in gone:
        told = statuses(document, name)
        assert told.pop("machine.reachable") == "failed"
        assert evidence(document, "machine.reachable", name).startswith("the machine is stopped")
        assert set(told.values()) == {"not_run"}
    for name in set(nodes) - set(gone):
        told = statuses(document, name)
        assert len([status for status in told.values() if status == "ok"]) > 15, told
        assert told["kubelet.running"] == "ok"
        for other in gone:
            assert other in evidence(document, "network.mesh_ping", name)
    of_the_cluster = {
        check["id"]: check for check in document["checks"] if not check["node"] and check["layer"] != "host"
    }
    if "m-k8s" in gone:
        assert {check["evidence"] for check in of_the_cluster.values()} == {"waits for machine.reachable on m-k8s"}
    else:
        assert of_the_cluster["control_plane.api"]["status"] == "ok"
        assert of_the_cluster["control_plane.certificates"]["status"] == "ok"


def test_a_node_that_hangs_is_named_and_the_rest_is_told(lab: Lab) -> None:
    freeze = by_engine(lab) + "docker exec $LABEL-w1-k8s pkill -{} -x sshd"
    with broken(lab, "host", freeze.format("STOP"), freeze.format("CONT")):
        document, seconds = report(lab)
    assert seconds < LIMIT
    assert troubles(document) == {("machine.reachable", "w1-k8s")}
    assert evidence(document, "machine.reachable", "w1-k8s")
    assert statuses(document, "")["workload.rollout"] == "ok"


def test_a_node_that_refuses_the_key_is_named_and_the_rest_is_told(lab: Lab) -> None:
    move = by_engine(lab) + "docker exec $LABEL-w1-k8s mv /home/vagrant/.ssh/{} /home/vagrant/.ssh/{}"
    names = ("authorized_keys", "authorized_keys.drift")
    with broken(lab, "host", move.format(*names), move.format(*reversed(names))):
        # A connection that is kept open would still let labctl in.
        machines = {one["name"]: one["ssh"] for one in lab.user.json("status")["machines"]}
        address, port = machines["w1-k8s"].split(":")
        ssh_access.end_shared("vagrant", int(port), address)
        document, seconds = report(lab)
    assert seconds < LIMIT
    assert troubles(document) == {("machine.reachable", "w1-k8s")}
    assert "it refuses the lab's SSH key" in evidence(document, "machine.reachable", "w1-k8s")
    assert statuses(document, "")["workload.rollout"] == "ok"


def test_a_full_disk_is_named_and_every_node_is_told(lab: Lab) -> None:
    fill = "mount -t tmpfs -o size=64k drift /var/lib; dd if=/dev/zero of=/var/lib/fill bs=1k 2>/dev/null; true"
    with broken(lab, "w1-k8s", fill, "umount -l /var/lib"):
        document, seconds = report(lab)
    assert seconds < LIMIT
    assert ("machine.disk", "w1-k8s") in troubles(document)
    assert "/var/lib has 0 MB" in evidence(document, "machine.disk", "w1-k8s")
    for name in lab.addresses:
        told = statuses(document, name)
        assert told["machine.reachable"] == "ok"
        assert len([status for status in told.values() if status == "ok"]) > 15, told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "kublet"], "kublet"),
        (["--only", "network/w9-k8s"], "network/w9-k8s"),
        (["--report", "html=/no/such/place/lab.html"], "/no/such/place"),
        (["--report", "pdf=lab.pdf"], "pdf=lab.pdf"),
    ],
)
def test_nonsense_is_refused_before_any_node_is_asked(lab: Lab, options: list[str], said: str) -> None:
    def sessions() -> str:
        return lab.on("w1-k8s", "journalctl -t sudo --no-pager | grep -c 'COMMAND=/bin/sh$'").stdout

    before = sessions()
    done = lab.user.run("verify", *options)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert sessions() == before


def test_watch_says_what_became_worse_and_what_became_better_until_ctrl_c(lab: Lab, tmp_path: Path) -> None:
    page = tmp_path / "lab.html"
    argv = [*lab.user.labctl, "verify", "--only", "host", "--watch", "--report", f"html={page}", "--progress", "plain"]
    with (tmp_path / "out").open("w+") as out:
        # In a process group of its own, so that Ctrl-C meets it as it does in a terminal.
        watch = subprocess.Popen(
            argv, cwd=lab.user.home, env=lab.user.environment, stdout=out, stderr=out, preexec_fn=_terminal
        )
        try:
            wait_for(out, ": healthy")
            assert lab.on("host", "chmod 640 $LAB/kubeconfig").returncode == 0
            wait_for(out, "host: The host's kubeconfig is its owner's alone: failed (was ok)")
            assert ": not healthy" in page.read_text()
            assert lab.on("host", "chmod 600 $LAB/kubeconfig").returncode == 0
            wait_for(out, "host: The host's kubeconfig is its owner's alone: ok (was failed)")
            os.killpg(watch.pid, signal.SIGINT)
            assert watch.wait(timeout=30) == 130
        finally:
            lab.on("host", "chmod 600 $LAB/kubeconfig")
            if watch.poll() is None:
                os.killpg(watch.pid, signal.SIGKILL)
    assert "Traceback" not in (tmp_path / "out").read_text()


def _terminal() -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for(out: IO[str], words: str, seconds: float = 90) -> None:
    """Wait until the output has these words; fail with all of it."""
    until = time.monotonic() + seconds
    while words not in Path(out.name).read_text():
        assert time.monotonic() < until, f"not said: {words}\n{Path(out.name).read_text()}"
        time.sleep(0.3)
