"""A lab without Kubernetes: made of the operating system's packages alone, and more of them at any time."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import User, free_port, poll

pytestmark = pytest.mark.real

# Named, so that a bundle of Kubernetes in the cache is not taken.
LAB = """\
version: 1
name: k8s-lab
profile: bare
provider: container
workers: {count: 1}
network: {subnet: auto}
packages: {source: system}
mounts: [{host: ./shared, node: /shared, writable: true}]
"""


class Owner(User):
    """A user whose `port` leads to the worker's port 22 besides labctl's own."""

    port = 0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    user = Owner(tmp_path_factory.mktemp("bare"))
    (user.home / "shared").mkdir()
    user.port = free_port()
    (user.home / "lab.yml").write_text(f"{LAB}ports: [{{node: w1-k8s, port: 22, host: {user.port}}}]\n")
    try:
        done = user.run("provision", "--yes", "--output", "json", "--progress", "plain")
        assert done.returncode == 0, done.stderr[-4000:]
        (user.home / "first.json").write_text(done.stdout)
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def has(lab: User, node: str, program: str) -> bool:
    return lab.run("ssh", node, "--", f"command -v {program}").returncode == 0


def test_it_is_verified(lab: User) -> None:
    assert json.loads((lab.home / "first.json").read_text())["verify"]["ok"]


def test_its_bundle_has_nothing_of_kubernetes(lab: User) -> None:
    source = json.loads((lab.state / "plan.json").read_text())["source"]
    assert source["bundle_id"].startswith("system-")
    assert "kubelet" not in lab.json("packages", "list")["packages"]


def test_a_second_provision_changes_nothing(lab: User) -> None:
    assert set(lab.json("provision", "--yes", "--full")["changed"].values()) == {0}


def test_a_package_is_installed_later_on_the_named_node_alone(lab: User) -> None:
    assert not has(lab, "w1-k8s", "socat")
    done = lab.json("packages", "install", "socat", "--on", "w1-k8s")
    assert [result["node"] for result in done["nodes"]] == ["w1-k8s"]
    assert done["nodes"][0]["stdout"].startswith("socat 1.7")
    assert has(lab, "w1-k8s", "socat")
    assert not has(lab, "m-k8s", "socat")


def test_while_the_bundle_is_served_a_node_installs_by_hand(lab: User) -> None:
    by_hand = ("ssh", "m-k8s", "--", "sudo apt-get update -qq && sudo apt-get install -qq rsync")
    serve = [*lab.labctl, "packages", "serve", "--progress", "plain", "--output", "json"]
    log = lab.home / "serve.log"
    with log.open("w") as sink:
        serving = subprocess.Popen(
            serve,
            cwd=lab.home,
            env=lab.environment,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            # Tests in the background of a script have it ignored, and so would their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    poll("the bundle is served", lambda: "sudo apt-get install PACKAGE" in log.read_text())
    done = lab.run(*by_hand, timeout=120)
    serving.send_signal(signal.SIGINT)
    served, _ = serving.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert serving.returncode == 0, log.read_text()
    assert json.loads(served)["bytes_sent"] > 0
    assert has(lab, "m-k8s", "rsync")


def test_a_taken_port_is_refused_and_nothing_is_installed(lab: User) -> None:
    url = urlsplit(json.loads((lab.state / "plan.json").read_text())["source"]["url"])
    with socket.create_server((url.hostname, url.port)):
        done = lab.run("packages", "install", "socat", "--on", "m-k8s")
    assert done.returncode == 3
    assert f"fix: ss -ltnp 'sport = :{url.port}'" in done.stderr
    assert not has(lab, "m-k8s", "socat")


def test_afterwards_nothing_is_served(lab: User) -> None:
    url = json.loads((lab.state / "plan.json").read_text())["source"]["url"]
    assert lab.run("ssh", "m-k8s", "--", f"curl -s --max-time 5 {url}/apt/Release").returncode == 7


def test_a_snapshot_brings_mounts_and_ports_back_and_leaves_the_folder_as_it_is(lab: Owner) -> None:
    lab.good("snapshot", "save", "shared")
    assert lab.run("ssh", "m-k8s", "--", "echo later | sudo tee /shared/note").returncode == 0
    lab.good("snapshot", "restore", "shared", "--yes")
    assert lab.run("ssh", "w1-k8s", "--", "cat /shared/note").stdout == "later\n"
    with socket.create_connection(("127.0.0.1", lab.port), timeout=10) as stream:
        assert stream.recv(8).startswith(b"SSH-2.0")


def test_without_its_folder_a_lab_is_not_restored(lab: Owner) -> None:
    moved = (lab.home / "shared").rename(lab.home / "moved")
    done = lab.run("snapshot", "restore", "shared", "--yes")
    moved.rename(lab.home / "shared")
    assert done.returncode == 3
    assert f"fix: mkdir -p {lab.home}/shared" in done.stderr
    assert lab.run("ssh", "w1-k8s", "--", "cat /shared/note").stdout == "later\n"
