"""Labs whose nodes are clones of one machine: what they share and what not, and what happens to that machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import paths
from orchestrator.checks.declarations import declared_checks
from orchestrator.events import discard
from orchestrator.lab.state import saved_plan
from orchestrator.model import Plan
from orchestrator.paths import LabDir
from orchestrator.providers.container import volumes
from orchestrator.providers.container.baked import LABEL, REPOSITORY, BakedNodes, image_name, volume_name
from orchestrator.providers.container.engine import open_engine
from orchestrator.verify import check_files

from .conftest import User, poll

SECRET = "canary-7d1f"
# Its own list of packages gives these labs a baked node of their own.
LAB = """version: 1
provider: container
workers: {count: 0}
network: {subnet: auto}
packages: {base: [curl, git, jq, less, vim]}
"""
PROXY = f"http_proxy: http://user:{SECRET}@proxy.invalid:3128\n"
WAITING = "another labctl is setting up the same machine"
BAKING = "Set up the machine that the nodes are cloned from"
AGAIN = "is damaged or gone: making it again"
# What tells one machine from another.
IDENTITY = {
    "machine-id": "cat /etc/machine-id",
    "SSH host keys": "cat /etc/ssh/ssh_host_*.pub",
    "containerd": "cat /var/lib/containerd/io.containerd.grpc.v1.introspection/uuid",
    "certificate authority": "cat /etc/kubernetes/pki/ca.crt",
    "key between nodes": "cat /root/.ssh/labctl_nodes",
    "keys let in": "cat /home/vagrant/.ssh/authorized_keys",
    "journal": "ls /var/log/journal",
    "names": "cat /etc/hosts",
}


TITLES = {
    check.id: check.title for file in check_files(with_cluster=True) for check in declared_checks(file).checks.values()
}


def baked() -> dict[str, dict[str, object]]:
    """The notes of all baked nodes, by key."""
    return {file.stem: json.loads(file.read_text()) for file in (paths.cache_dir() / "baked").glob("*.json")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[User, User, dict[str, str]]]:
    """Two labs that want the same machine at the same moment, one behind a proxy; and what each said."""
    users = [User(tmp_path_factory.mktemp(name)) for name in ("one", "two")]
    said: dict[str, str] = {}

    def provision(user: User) -> None:
        done = user.run("provision", "--yes", "--progress", "plain")
        said[user.home.name] = done.stderr if done.returncode == 0 else f"FAILED {done.stderr[-3000:]}"

    try:
        for user, more in zip(users, (PROXY, ""), strict=True):
            (user.home / "lab.yml").write_text(LAB + more)
        threads = [threading.Thread(target=provision, args=(user,)) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not [text for text in said.values() if text.startswith("FAILED")], said
        yield users[0], users[1], said
    finally:
        for user in users:
            user.run("destroy", "--yes", timeout=300)


@pytest.fixture(scope="module")
def key(made: tuple[User, User, dict[str, str]]) -> Iterator[str]:
    """The key that both labs' machines were cloned under; afterwards nothing is cloned from what was done to it."""
    entries = [json.loads(line) for line in (made[0].state / "journal.jsonl").read_text().splitlines()]
    found = str(next(one["result"]["baked"] for one in entries if "baked" in (one.get("result") or {})))
    yield found
    (paths.cache_dir() / "baked" / f"{found}.json").unlink(missing_ok=True)


def test_one_of_two_labs_sets_the_machine_up_and_the_other_waits_for_it(
    made: tuple[User, User, dict[str, str]], key: str
) -> None:
    texts = list(made[2].values())
    assert sorted(text.count(BAKING) > 0 for text in texts) == [False, True], texts
    assert sorted(WAITING in text for text in texts) == [False, True], texts
    assert key in baked()


def test_two_machines_cloned_from_one_have_nothing_of_each_other(made: tuple[User, User, dict[str, str]]) -> None:
    found = []
    for user in made[:2]:
        asked = {
            name: user.run("exec", "--on", "m-k8s", "--", "sudo", "sh", "-c", text) for name, text in IDENTITY.items()
        }
        assert {name: done.stderr for name, done in asked.items() if done.returncode != 0} == {}
        found.append({name: done.stdout for name, done in asked.items()})
    assert all(found[0].values())
    assert [name for name in IDENTITY if found[0][name] == found[1][name]] == []


def test_no_secret_of_a_lab_is_in_the_machine_that_its_nodes_were_cloned_from(
    made: tuple[User, User, dict[str, str]], key: str
) -> None:
    searched = f"""grep -rlF -e {SECRET} /etc /root /home /var /usr/local /volumes || true
        grep -rlF 'BEGIN OPENSSH PRIVATE KEY' /etc /root /home /var /usr/local || true"""
    # It is found where it belongs, so that the search can find something.
    there = made[0].run("exec", "--on", "m-k8s", "--", "sudo", "sh", "-c", searched.replace("/volumes", ""))
    assert "/etc/environment" in there.stdout
    engine = open_engine(discard, "test")
    try:
        mounts = {f"/volumes/{one}": volume_name(key, one) for one in ("docker", "containerd")}
        assert volumes.run_over(engine.api, image_name(key), searched, mounts, {}).split() == []
    finally:
        engine.close(discard, "test")


@pytest.mark.full_only
@pytest.mark.takes(130)
def test_a_baked_node_that_somebody_changed_is_made_again(made: tuple[User, User, dict[str, str]], key: str) -> None:
    before = baked()[key]["seal"]
    engine = open_engine(discard, "test")
    try:
        flip = "f=$(find /c -type f -size +1M | sort | head -n 1); printf X | dd of=$f bs=1 seek=4096 conv=notrunc"
        volumes.run_over(engine.api, image_name(key), flip, {"/c": volume_name(key, "containerd")}, {})
    finally:
        engine.close(discard, "test")
    user = made[1]
    assert user.run("destroy", "--yes").returncode == 0
    done = user.run("provision", "--yes", "--progress", "plain")
    assert done.returncode == 0, done.stderr[-3000:]
    assert AGAIN in done.stderr
    assert baked()[key]["seal"] != before


# What is done to the machine that nodes are cloned from, by the check that finds it on a clone.
QUIET = {
    "kubernetes_packages.locked": "apt-mark unhold kubelet",
    "containerd.images": "echo registry.k8s.io/absent:1 >>$(ls -S /var/lib/labctl/images-* | head -n 1)",
    "kubernetes_packages.kubelet_enabled": "rm -f /etc/systemd/system/multi-user.target.wants/kubelet.service",
}
# The same, where kubeadm goes no further.
LOUD = {
    "br_netfilter.sysctls_at_boot": "sed -i 's/ip_forward *= *1/ip_forward = 0/' /etc/sysctl.d/90-kubernetes.conf",
    "kubernetes_packages.version": "dpkg --force-depends --purge kubectl",
    "kubelet.running": "dpkg --force-depends --purge kubelet",
    "containerd.running": "rm -f /etc/systemd/system/multi-user.target.wants/containerd.service",
    "containerd.configuration": "sed -i 's/SystemdCgroup = .*/SystemdCgroup = \"x\"/' /etc/containerd/config.toml",
    "containerd.crictl": "echo 'runtime-endpoint: unix:///nowhere' >/etc/crictl.yaml",
}
MENDED = "the clones are not as they should be"


def spoil(key: str, script: str, plan: Plan) -> None:
    """Change the machine that nodes are cloned from, and its seal with it, so that only a clone shows it."""
    engine = open_engine(discard, "test")
    try:
        api: Any = engine.api
        config = {
            "Image": image_name(key),
            "Entrypoint": ["/bin/sh", "-c", script],
            "HostConfig": {"NetworkMode": "none"},
        }
        container = api.create_container_from_config(config)["Id"]
        api.start(container)
        api.wait(container)
        changes = ['ENTRYPOINT ["/usr/local/sbin/labctl-node-init"]', f"LABEL {LABEL}={key}"]
        api.commit(container, repository=REPOSITORY, tag=key, changes=changes)
        api.remove_container(container, force=True)
        seal = BakedNodes(engine.client(600), "").seal(plan, key)
    finally:
        engine.close(discard, "test")
    record = paths.cache_dir() / "baked" / f"{key}.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "seal": seal}))


@pytest.mark.full_only
@pytest.mark.takes(95)
@pytest.mark.parametrize("defects", [QUIET, LOUD], ids=["the checks find it", "kubeadm stops at it"])
def test_what_is_wrong_with_the_machine_that_nodes_are_cloned_from_is_found_on_them_and_healed(
    made: tuple[User, User, dict[str, str]], key: str, defects: dict[str, str]
) -> None:
    user = made[1]
    spoil(key, "; ".join(defects.values()), saved_plan(LabDir(user.state)))
    assert user.run("destroy", "--yes").returncode == 0
    done = user.run("provision", "--yes", "--progress", "jsonl")
    assert done.returncode == 0, f"{done.stdout} {done.stderr[-3000:]}"
    assert MENDED in done.stderr
    report = {one["id"]: one["status"] for one in user.json("verify")["checks"] if one["node"] == "m-k8s"}
    assert {name: report[name] for name in defects} == dict.fromkeys(defects, "ok")
    if defects is QUIET:
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        found = {one["name"] for one in events if one["event"] == "Step" and one["node"] and one["detail"]}
        assert {TITLES[name] for name in defects} <= found


@pytest.mark.full_only
@pytest.mark.takes(110)
def test_a_command_that_was_killed_while_it_set_the_machine_up_leaves_nothing(
    made: tuple[User, User, dict[str, str]], key: str
) -> None:
    user = made[1]
    assert user.run("destroy", "--yes").returncode == 0
    (paths.cache_dir() / "baked" / f"{key}.json").unlink(missing_ok=True)
    process = subprocess.Popen(
        [*user.labctl, "provision", "--yes", "--progress", "none"],
        cwd=user.home,
        env=user.environment,
        start_new_session=True,
    )
    home = paths.cache_dir() / "baked" / key
    poll("the machine is being set up", lambda: LabDir.beside(home / "lab.yml", "baked").source_access.exists())
    plan = saved_plan(LabDir.beside(home / "lab.yml", "baked"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = user.run("provision", "--yes", "--progress", "plain")
    assert done.returncode == 0, done.stderr[-3000:]
    assert BAKING in done.stderr
    assert not home.exists()
    engine = open_engine(discard, "test")
    try:
        assert engine.api.containers(all=True, filters={"label": f"labctl.uuid={plan.uuid}"}) == []
    finally:
        engine.close(discard, "test")


def test_what_is_kept_is_listed_and_can_be_pruned(key: str, made: tuple[User, User, dict[str, str]]) -> None:
    entries = made[0].json("cache", "list")["entries"]
    [found] = [one for one in entries if one["path"] == f"baked/{key}.json"]
    assert found["mb"] > 100
    assert found["what"].startswith("prepared node: Kubernetes ")


def test_without_baking_every_machine_is_set_up_by_itself(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text(LAB.replace("version: 1\n", "version: 1\nprofile: bare\n"))
    user = User(tmp_path)
    before = baked()
    try:
        done = user.run("provision", "--yes", "--no-bake", "--progress", "plain")
        assert done.returncode == 0, done.stderr[-3000:]
        assert BAKING not in done.stderr
        assert set(baked()) == set(before)
    finally:
        user.run("destroy", "--yes", timeout=300)
