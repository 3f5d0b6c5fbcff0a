"""A small lab as somebody lives with it: commands everywhere, copies, off and on, bigger and smaller, anew."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.conftest import User, free_port, poll

pytestmark = pytest.mark.real

LAB = """\
version: 1
name: everyday
provider: container
workers: {count: 1}   # changed by scale
network: {subnet: auto}
mounts:
  - {host: ./course, node: /course}
  - {host: ./results, node: /srv/results, nodes: [w1-k8s], writable: true}
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: labctl/nginx:1.22
          volumeMounts: [{name: course, mountPath: /usr/share/nginx/html, readOnly: true}]
      volumes: [{name: course, hostPath: {path: /course, type: Directory}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
"""
NODES = ["m-k8s", "w1-k8s"]


class Reader(User):
    """A user with a home of their own: what is merged there is not the tester's. `port` leads to a NodePort."""

    port = 0

    @property
    def environment(self) -> dict[str, str]:
        found = super().environment
        cache = found.get("LABCTL_CACHE") or str(Path(found.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "labctl")
        return {**found, "HOME": str(self.home), "LABCTL_CACHE": cache}

    @property
    def state(self) -> Path:
        return self.home / ".labctl" / "everyday"

    def everywhere(self, command: str, on: str = "all") -> dict[str, str]:
        """What a command prints on each node."""
        answers = self.json_of("exec", "--on", on, "--output", "json", "--", command)
        assert answers["worst"] == 0, answers
        return {answer["node"]: answer["stdout"].strip() for answer in answers["nodes"]}

    def json_of(self, *args: str) -> dict[str, object] | dict[str, list[dict[str, str]]]:
        done = self.run(*args)
        assert done.stdout, done.stderr
        document: dict[str, object] = json.loads(done.stdout)
        return document


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    user = Reader(tmp_path_factory.mktemp("everyday"))
    (user.home / "course").mkdir()
    (user.home / "course" / "index.html").write_text("chapter 3\n")
    (user.home / "results").mkdir()
    user.port = free_port()
    (user.home / "lab.yml").write_text(f"{LAB}ports: [{{port: 30080, host: {user.port}}}]\n")
    try:
        done = user.run("provision", "--yes", "--output", "json", "--progress", "plain")
        assert done.returncode == 0, done.stderr[-4000:]
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


def test_list_shows_the_lab_wherever_it_is_asked(lab: Reader, tmp_path: Path) -> None:
    elsewhere = Reader(tmp_path, lab.labctl)
    listed = elsewhere.json("list")["labs"]
    (found,) = [one for one in listed if one["directory"] == str(lab.home)]
    assert (found["name"], found["provider"], found["state"]) == ("everyday", "container", "running")
    assert found["size"] > 10_000_000
    assert elsewhere.run("destroy", "--id", found["id"], "--dry-run").returncode == 0


def test_watch_shows_the_eight_steps_of_a_pods_life_as_they_happen(lab: Reader) -> None:
    argv = [*lab.labctl, "watch", "pod", "watched", "--output", "json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=lab.home, env=lab.environment, stdout=pipe, stderr=pipe, text=True) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline() == "waiting for the pod watched in the namespace default\n"
        lab.kubectl("run", "watched", "--image", "labctl/nginx:1.22")
        document, errors = watching.communicate(timeout=120)
    assert watching.returncode == 0, errors
    life = json.loads(document)
    assert not life["existed"]
    assert [step["number"] for step in life["steps"]] == list(range(1, 9))
    seconds = [step["seconds"] for step in life["steps"]]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] < 60
    seen = {step["name"]: step["seen"] for step in life["steps"]}
    assert (seen["scheduled"], seen["containers"]) == ("w1-k8s", "watched")
    lab.kubectl("delete", "pod", "watched")


def test_watch_tells_where_a_pod_that_is_never_ready_stands_and_why(lab: Reader) -> None:
    lab.kubectl("run", "stuck", "--image", "labctl/nothing:1")
    done = lab.run("watch", "pod", "stuck", "--timeout", "15")
    lab.kubectl("delete", "pod", "stuck")
    assert done.returncode == 6, done.stderr
    assert "not ready after 15 s; it stands at step 6 of 8 (network): stuck: " in done.stderr
    assert "ImagePull" in done.stderr
    assert "fix: labctl kubectl -- describe pod stuck -n default" in done.stderr


def test_exec_runs_on_all_nodes_or_some_and_exits_with_the_worst_code(lab: Reader) -> None:
    assert lab.everywhere("hostname") == {name: name for name in NODES}
    assert lab.everywhere("hostname", on="w*") == {"w1-k8s": "w1-k8s"}
    done = lab.run("exec", "--", "test $(hostname) = m-k8s || exit 3")
    assert done.returncode == 3
    assert "w1-k8s  (exit code 3)" in done.stdout
    assert lab.run("exec", "--", "sh", "-c", "echo 'a  b'").stdout.count("a  b\n") == 2


def test_files_come_back_from_nodes_as_they_went(lab: Reader) -> None:
    source = lab.home / "some where"
    source.mkdir()
    (source / "notes.txt").write_text("나의 노트\n")
    lab.good("cp", "some where", "all:/tmp/")
    lab.good("cp", "w1-k8s:/tmp/some where/notes.txt", "m-k8s:/tmp/other.txt")
    lab.good("cp", "m-k8s:/tmp/other.txt", "back.txt")
    assert (lab.home / "back.txt").read_text() == "나의 노트\n"
    assert lab.run("cp", "w1-k8s:/not/there", "x").returncode == 2


def test_plain_ssh_works_with_the_exported_configuration(lab: Reader) -> None:
    (lab.home / "config").write_text(lab.good("export", "ssh-config"))
    done = subprocess.run(
        ["ssh", "-F", str(lab.home / "config"), "w1-k8s", "sudo", "hostname"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "w1-k8s\n", done.stderr


def test_the_merged_context_works_with_plain_kubectl(lab: Reader) -> None:
    lab.good("kubeconfig", "--merge")
    kubectl = [str(lab.state / "bin" / "kubectl"), f"--kubeconfig={lab.home}/.kube/config", "--context=everyday"]
    done = subprocess.run([*kubectl, "get", "nodes", "-o", "name"], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["node/m-k8s", "node/w1-k8s"], done.stderr


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux on this host")
def test_what_is_typed_in_the_console_goes_to_every_node(lab: Reader) -> None:
    attach = lab.json("console", "--detach")["attach"]
    tmux = attach[: attach.index("attach-session")]

    def pane(index: int) -> str:
        show = [*tmux, "capture-pane", "-p", "-t", f"=lab:.{index}"]
        return subprocess.run(show, capture_output=True, text=True, timeout=10, env=lab.environment).stdout

    try:
        poll("both shells are there", lambda: all("$" in pane(index) for index in (0, 1)))
        subprocess.run([*tmux, "send-keys", "-t", "=lab:.0", "echo $(hostname)-typed", "Enter"], check=True, timeout=10)
        poll("m-k8s got it", lambda: "m-k8s-typed" in pane(0))
        poll("w1-k8s got it", lambda: "w1-k8s-typed" in pane(1))
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=10)


def test_the_support_archive_says_much_and_nothing_secret(lab: Reader) -> None:
    archive = Path(lab.json("logs", "--to", str(lab.home / "logs.tar.gz"))["archive"])
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as packed:
        files = {entry.name: (packed.extractfile(entry) or [b""]) for entry in packed.getmembers()}
        texts = {name: b"".join(content).decode() for name, content in files.items()}
    assert "Started kubelet" in texts["logs/w1-k8s/journal.txt"]
    assert "w1-k8s" in texts["logs/cluster/nodes.txt"]
    kubeconfig = YAML(typ="safe").load(lab.state / "kubeconfig")
    secrets = [kubeconfig["users"][0]["user"]["client-key-data"]]
    secrets += lab.state.joinpath("ssh", "id_ed25519").read_text().splitlines()[1:-1]
    for name, text in texts.items():
        assert "PRIVATE KEY" not in text.replace("PRIVATE KEY-----[redacted]", ""), name
        for secret in secrets:
            assert secret not in text, name


def test_nodes_read_a_mounted_folder_and_write_into_one_that_says_so(lab: Reader) -> None:
    assert set(lab.everywhere("cat /course/index.html").values()) == {"chapter 3"}
    done = lab.run("exec", "--", "sudo touch /course/mine")
    assert done.returncode == 1
    assert done.stderr.count("Read-only file system") == 2
    assert lab.everywhere("echo done | sudo tee /srv/results/w1", on="w1-k8s") == {"w1-k8s": "done"}
    assert (lab.home / "results" / "w1").read_text() == "done\n"
    assert lab.run("exec", "--on", "m-k8s", "--", "test -e /srv/results").returncode == 1


def answer(lab: Reader) -> str:
    """What the NodePort answers on this host; empty while nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{lab.port}/", timeout=5) as page:
            text: str = page.read().decode()
            return text
    except OSError:
        return ""


def test_a_node_port_answers_on_this_host_what_a_pod_reads_from_it(lab: Reader) -> None:
    (lab.home / "web.yml").write_text(WEB)
    lab.kubectl("apply", "-f", "web.yml")
    poll("the NodePort answers on this host", lambda: answer(lab) == "chapter 3\n")
    lines = lab.good("status").splitlines()
    assert f"mount: {lab.home}/course at /course of m-k8s, w1-k8s (read-only)" in lines
    assert f"port: 127.0.0.1:{lab.port} to m-k8s:30080" in lines


def test_a_halted_lab_starts_and_is_verified(lab: Reader) -> None:
    lab.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    assert lab.json("halt")["stopped"] == NODES
    assert lab.run("exec", "--", "true").returncode == 4
    assert lab.json("start")["verify"]["ok"]
    assert "kept" in lab.kubectl("get", "configmaps", "-o", "name")


def test_mounts_and_ports_are_there_after_the_pause(lab: Reader) -> None:
    (lab.home / "course" / "index.html").write_text("chapter 4\n")
    poll("the NodePort answers on this host", lambda: answer(lab) == "chapter 4\n")


def test_mounts_and_ports_of_an_existing_lab_are_refused_with_the_way_out(lab: Reader) -> None:
    before = (lab.home / "lab.yml").read_text()
    (lab.home / "lab.yml").write_text(before.replace("host: ./results", "host: ./course"))
    done = lab.run("provision", "--yes")
    (lab.home / "lab.yml").write_text(before)
    assert done.returncode == 2
    assert "lab.yml:6 mounts: the lab exists with" in done.stderr
    assert "change it back, or `labctl destroy --yes` first" in done.stderr


def test_a_worker_joins_and_leaves_and_the_others_stay_as_they_are(lab: Reader) -> None:
    booted = lab.everywhere("cat /proc/1/stat | cut -d' ' -f22; systemctl show -p ExecMainPID kubelet")
    assert lab.json("scale", "--workers", "2")["verify"]["ok"]
    assert "count: 2}   # changed by scale" in (lab.home / "lab.yml").read_text()
    assert "w2-k8s" in lab.everywhere("cat /etc/hosts")["w1-k8s"]
    assert lab.everywhere("cat /course/index.html", on="w2-k8s") == {"w2-k8s": "chapter 4"}
    assert lab.run("provision", "--workers", "1", "--yes").returncode == 2
    assert lab.json("scale", "--workers", "1", "--yes")["verify"]["ok"]
    assert not any("w2-k8s" in text for text in lab.everywhere("cat /etc/hosts").values())
    assert lab.kubectl("get", "nodes", "-o", "name").split() == ["node/m-k8s", "node/w1-k8s"]
    assert lab.everywhere("cat /proc/1/stat | cut -d' ' -f22; systemctl show -p ExecMainPID kubelet") == booted


def test_after_a_reset_provision_makes_a_new_cluster_on_the_same_machines(lab: Reader) -> None:
    machines = lab.everywhere("cat /etc/ssh/ssh_host_ed25519_key.pub")
    lab.good("reset", "--yes")
    assert set(lab.everywhere("ls /etc/cni/net.d /etc/kubernetes 2>/dev/null | grep -c conf; true").values()) == {"0"}
    assert lab.json("provision", "--yes")["verify"]["ok"]
    assert lab.everywhere("cat /etc/ssh/ssh_host_ed25519_key.pub") == machines
    assert "kept" not in lab.kubectl("get", "configmaps", "-o", "name")
    kubectl = [str(lab.state / "bin" / "kubectl"), f"--kubeconfig={lab.home}/.kube/config", "get", "nodes"]
    assert subprocess.run(kubectl, capture_output=True, timeout=60).returncode == 0, "the merged context follows"


def test_destroy_takes_the_context_along(lab: Reader) -> None:
    lab.good("destroy", "--yes")
    assert not (lab.home / ".kube" / "config").exists()
    assert not (lab.home / ".labctl").exists()
