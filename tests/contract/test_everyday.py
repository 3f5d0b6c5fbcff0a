"""What the everyday commands promise without a machine: who is meant, what is refused, which files stay untouched."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from orchestrator.paths import LabDir
from orchestrator.workflows import kubeconfigs
from orchestrator.workflows import lab as labs
from tests.unit.test_container_spec import PLAN

ROOT = Path(__file__).resolve().parents[2]

OWN = """
apiVersion: v1
kind: Config
clusters: [{name: kubernetes, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: Q0E=}}]
contexts: [{name: admin, context: {cluster: kubernetes, user: admin}}]
users: [{name: admin, user: {client-key-data: S0VZ}}]
current-context: admin
"""

THEIRS = """\
# keep this remark
apiVersion: v1
kind: Config
clusters:
- name: work
  cluster: {server: "https://work.invalid"}
contexts:
- name: work
  context: {cluster: work, user: me}
users:
- name: me
  user: {token: abc}
current-context: work
"""


@pytest.fixture
def lab(tmp_path: Path) -> labs.Lab:
    """A lab on disk, as after a provision, whose machines nobody made."""
    plan = replace(PLAN, name="k8s-lab", owner=str(tmp_path))
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    labs.save(directory, plan)
    labs.write_private(directory.kubeconfig, OWN)
    return labs.Lab(directory, plan)


def labctl(lab: labs.Lab, *args: str) -> subprocess.CompletedProcess[str]:
    home = Path(lab.plan.owner)
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *args],
        cwd=home,
        env={**os.environ, "LABCTL_OFFLINE": "1", "PYTHONPATH": str(ROOT), "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def merged(lab: labs.Lab) -> Path:
    return Path(lab.plan.owner) / ".kube" / "config"


def given(lab: labs.Lab, text: str) -> Path:
    merged(lab).parent.mkdir()
    merged(lab).write_text(text)
    return merged(lab)


@pytest.mark.parametrize(
    "verb", ["exec -- true", "cp a w1-k8s:/b", "halt", "start", "export ssh-config", "kubeconfig --merge"]
)
def test_a_command_on_a_lab_that_is_not_there_says_how_to_make_one(tmp_path: Path, verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *verb.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "no lab in" in done.stderr
    assert "labctl provision" in done.stderr


@pytest.mark.parametrize(
    "args",
    [("exec", "--on", "w9*", "--", "true"), ("cp", "lab.yml", "w9:/tmp"), ("cp", "w9:/tmp/x", ".")],
    ids=["exec", "cp to", "cp from"],
)
def test_an_unknown_node_is_answered_with_those_that_exist(lab: labs.Lab, args: tuple[str, ...]) -> None:
    done = labctl(lab, *args)
    assert done.returncode == 2
    assert "w9" in done.stderr
    assert "m-k8s, w1-k8s" in done.stderr


def test_exec_without_a_command_and_cp_between_host_paths_are_refused(lab: labs.Lab) -> None:
    assert labctl(lab, "exec").returncode == 2
    (Path(lab.plan.owner) / "a").write_text("x")
    done = labctl(lab, "cp", "a", "b")
    assert done.returncode == 2
    assert "NODE:PATH" in done.stderr
    assert labctl(lab, "cp", "all:/etc/hostname", "b").returncode == 2


def test_cp_says_what_it_would_copy(lab: labs.Lab) -> None:
    (Path(lab.plan.owner) / "a").write_text("x")
    done = labctl(lab, "cp", "--dry-run", "--output", "json", "a", "all:/tmp/")
    assert json.loads(done.stdout)["would"] == ["copy a to m-k8s:/tmp/", "copy a to w1-k8s:/tmp/"]


def test_merging_keeps_everything_of_the_users_and_unmerging_leaves_it_as_it_was(lab: labs.Lab) -> None:
    file = given(lab, THEIRS)
    done = labctl(lab, "kubeconfig", "--merge", "--output", "json")
    assert done.returncode == 0, done.stderr
    backup = Path(json.loads(done.stdout)["backup"])
    assert backup.read_text() == THEIRS
    both = YAML(typ="safe").load(file)
    assert [item["name"] for item in both["contexts"]] == ["work", lab.plan.name]
    assert both["current-context"] == lab.plan.name
    assert both["users"][1]["user"]["client-key-data"] == "S0VZ"
    assert "# keep this remark" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(labctl(lab, "kubeconfig", "--merge", "--output", "json").stdout)["changed"] is False
    assert labctl(lab, "kubeconfig", "--unmerge").returncode == 0
    assert YAML(typ="safe").load(file) == YAML(typ="safe").load(THEIRS)
    assert "nothing of this lab" in labctl(lab, "kubeconfig", "--unmerge").stdout


def test_a_file_that_merging_made_goes_with_unmerging(lab: labs.Lab) -> None:
    assert labctl(lab, "kubeconfig", "--merge").returncode == 0
    assert merged(lab).exists()
    assert labctl(lab, "kubeconfig", "--unmerge").returncode == 0
    assert not merged(lab).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clusters: [\n", "not valid YAML"),
        ("- a\n", "not a kubeconfig"),
        ("kind: Pod\nmetadata: {}\n", "not a kubeconfig"),
        ("clusters: [5]\n", "not a kubeconfig"),
        (THEIRS.replace("work", "k8s-lab"), "not this lab's"),
    ],
    ids=["broken YAML", "a list", "another kind", "no clusters", "a context of that name"],
)
def test_a_kubeconfig_that_cannot_be_merged_into_stays_untouched(lab: labs.Lab, text: str, words: str) -> None:
    file = given(lab, text)
    done = labctl(lab, "kubeconfig", "--merge")
    assert done.returncode == 2
    assert words in done.stderr
    assert "fix:" in done.stderr
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == ["config"]


def test_a_kubeconfig_that_another_program_is_changing_is_left_to_it(lab: labs.Lab) -> None:
    lock = given(lab, THEIRS).with_name("config.lock")
    lock.touch()
    done = labctl(lab, "kubeconfig", "--merge")
    assert done.returncode == 2
    assert str(lock) in done.stderr
    assert lock.exists()


def test_a_lab_that_goes_is_forgotten_and_a_new_cluster_is_followed(lab: labs.Lab) -> None:
    file = given(lab, THEIRS)
    kubeconfigs.merge(lab, file)
    labs.write_private(lab.directory.kubeconfig, OWN.replace("S0VZ", "TkVX"))
    kubeconfigs.refresh(lab, lambda event: None, "kubeconfig")
    assert "TkVX" in file.read_text()
    kubeconfigs.forget(lab.plan.uuid, lab.directory, lambda event: None, "destroy")
    assert YAML(typ="safe").load(file) == YAML(typ="safe").load(THEIRS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(lab: labs.Lab, shell: str) -> None:
    done = labctl(lab, "completion", shell)
    assert done.returncode == 0
    assert "_LABCTL_COMPLETE" in done.stdout


def test_completion_offers_verbs_and_the_labs_nodes(lab: labs.Lab) -> None:
    def offered(line: str, at: int) -> list[str]:
        asked = {"_LABCTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(at)}
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli"],
            cwd=lab.plan.owner,
            env={**os.environ, "PYTHONPATH": str(ROOT), **asked},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return [line.partition(",")[2] for line in done.stdout.split()]

    assert offered("labctl prov", 1) == ["provision"]
    assert offered("labctl ssh ", 2) == ["m-k8s", "w1-k8s"]
