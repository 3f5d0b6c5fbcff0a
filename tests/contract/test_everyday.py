"""The contract of the everyday commands without a machine: selected nodes, refusals, files that stay unchanged."""

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

from orchestrator.lab import kubeconfigs, planning
from orchestrator.lab.lab_yml_edit import write_worker_count
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import Plan
from orchestrator.paths import LabDir, write_private
from tests.unit.providers.test_container_spec import PLAN

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
def lab(tmp_path: Path) -> Lab:
    """A lab on disk, as after a provision, without its machines."""
    plan = replace(PLAN, name="k8s-lab", owner=str(tmp_path))
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    write_private(directory.kubeconfig, OWN)
    return Lab(directory, plan)


def labctl(lab: Lab, *args: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    home = Path(lab.plan.owner)
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *args],
        cwd=home,
        env={**os.environ, "LABCTL_OFFLINE": "1", "PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


def merged(lab: Lab) -> Path:
    return Path(lab.plan.owner) / ".kube" / "config"


def write_user_kubeconfig(lab: Lab, text: str) -> Path:
    merged(lab).parent.mkdir()
    merged(lab).write_text(text)
    return merged(lab)


@pytest.mark.parametrize(
    "verb", ["exec -- true", "cp a w1-k8s:/b", "halt", "start", "export ssh-config", "kubeconfig --merge"]
)
def test_a_command_on_a_missing_lab_says_how_to_create_one(tmp_path: Path, verb: str) -> None:
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
def test_an_unknown_node_is_answered_with_those_that_exist(lab: Lab, args: tuple[str, ...]) -> None:
    done = labctl(lab, *args)
    assert done.returncode == 2
    assert "w9" in done.stderr
    assert "m-k8s, w1-k8s" in done.stderr


def test_exec_without_a_command_and_cp_between_host_paths_are_refused(lab: Lab) -> None:
    assert labctl(lab, "exec").returncode == 2
    (Path(lab.plan.owner) / "a").write_text("x")
    done = labctl(lab, "cp", "a", "b")
    assert done.returncode == 2
    assert "NODE:PATH" in done.stderr
    assert labctl(lab, "cp", "all:/etc/hostname", "b").returncode == 2


def test_the_dry_run_of_cp_lists_the_copies(lab: Lab) -> None:
    (Path(lab.plan.owner) / "a").write_text("x")
    done = labctl(lab, "cp", "--dry-run", "--output", "json", "a", "all:/tmp/")
    assert json.loads(done.stdout)["would"] == ["copy a to m-k8s:/tmp/", "copy a to w1-k8s:/tmp/"]


def test_merging_keeps_everything_of_the_users_and_unmerging_leaves_it_as_it_was(lab: Lab) -> None:
    file = write_user_kubeconfig(lab, THEIRS)
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


def test_a_file_that_merging_created_is_removed_by_unmerging(lab: Lab) -> None:
    assert labctl(lab, "kubeconfig", "--merge").returncode == 0
    assert merged(lab).exists()
    assert labctl(lab, "kubeconfig", "--unmerge").returncode == 0
    assert not merged(lab).exists()
    kubeconfigs.refresh(lab, lambda event: None, "kubeconfig")
    assert not merged(lab).exists(), "an unmerged lab stays out"


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
def test_a_kubeconfig_that_cannot_be_merged_into_stays_untouched(lab: Lab, text: str, words: str) -> None:
    file = write_user_kubeconfig(lab, text)
    done = labctl(lab, "kubeconfig", "--merge")
    assert done.returncode == 2
    assert words in done.stderr
    assert "fix:" in done.stderr
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == ["config"]


def test_a_kubeconfig_that_another_program_is_changing_is_not_touched(lab: Lab) -> None:
    lock = write_user_kubeconfig(lab, THEIRS).with_name("config.lock")
    lock.touch()
    done = labctl(lab, "kubeconfig", "--merge")
    assert done.returncode == 2
    assert str(lock) in done.stderr
    assert lock.exists()


def test_a_destroyed_lab_leaves_the_kubeconfig_and_a_new_cluster_updates_it(lab: Lab) -> None:
    file = write_user_kubeconfig(lab, THEIRS)
    kubeconfigs.merge_context(lab, file)
    write_private(lab.directory.kubeconfig, OWN.replace("S0VZ", "TkVX"))
    kubeconfigs.refresh(lab, lambda event: None, "kubeconfig")
    assert "TkVX" in file.read_text()
    kubeconfigs.remove_context(lab.plan.uuid, lab.directory, lambda event: None, "destroy")
    assert YAML(typ="safe").load(file) == YAML(typ="safe").load(THEIRS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_prints_a_script_for_the_shell(lab: Lab, shell: str) -> None:
    done = labctl(lab, "completion", shell)
    assert done.returncode == 0
    assert "_LABCTL_COMPLETE" in done.stdout


def test_completion_offers_verbs_and_the_labs_nodes(lab: Lab) -> None:
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


def test_completion_for_powershell_says_that_it_is_untested_and_is_balanced(lab: Lab) -> None:
    script = labctl(lab, "completion", "powershell").stdout
    assert "UNTESTED" in script.splitlines()[0]
    assert all(script.count(left) == script.count(right) > 0 for left, right in ("{}", "()", "[]"))
    assert script.count("'") % 2 == script.count('"') % 2 == 0
    assert "%" not in script


HELP = "json prints one document on stdout; progress goes to stderr."


@pytest.mark.parametrize(
    ("words", "word", "offered"),
    [
        ("labctl", "prov", ["plain", "provision", "Create the lab, or converge it to lab.yml, and verify it"]),
        ("labctl\nssh", "w1", ["plain", "w1-k8s", ""]),
        (
            "labctl\nplan",
            "--out",
            ["plain", "--output", HELP],
        ),
    ],
)
def test_what_powershell_hands_over_is_answered_a_line_each(
    lab: Lab, words: str, word: str, offered: list[str]
) -> None:
    asked = {"_LABCTL_COMPLETE": "powershell_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli"], cwd=lab.plan.owner,
        env={**os.environ, "PYTHONPATH": str(ROOT), **asked}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert [line.split("\t") for line in done.stdout.splitlines()] == [offered]


def with_lab_file(lab: Lab, text: str) -> Path:
    file = Path(lab.plan.owner) / "lab.yml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("workers", "words"), [("0", "1 workers"), ("300", "300"), ("-1", "-1")], ids=["none", "too many", "minus one"]
)
def test_scale_refuses_a_number_that_the_lab_cannot_go_to(lab: Lab, workers: str, words: str) -> None:
    done = labctl(lab, "scale", "--workers", workers, "--yes")
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "fix:" in done.stderr


def test_scale_says_what_it_would_do_and_asks_before_a_machine_goes(lab: Lab) -> None:
    bigger = lab_of(lab, 3)
    done = labctl(bigger, "scale", "--workers", "1", "--dry-run", "--output", "json")
    would = json.loads(done.stdout)["would"]
    assert [line.split(",")[0] for line in would] == ["drain w2-k8s", "drain w3-k8s"]
    done = labctl(bigger, "scale", "--workers", "1")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert Plan.from_json(lab.directory.plan.read_text()) == bigger.plan


def test_provision_never_leaves_machines_behind_that_lab_yml_has_no_more(lab: Lab) -> None:
    lab_of(lab, 2)
    with_lab_file(lab, "workers: {count: 1}\n")
    done = labctl(lab, "provision", "--dry-run", "--provider", "container")
    assert done.returncode == 2, done.stdout
    assert "w2-k8s" in done.stderr
    assert "labctl scale --workers 1" in done.stderr


def test_a_number_of_workers_that_nobody_wrote_is_the_one_the_lab_has(lab: Lab) -> None:
    file = with_lab_file(lab, "name: k8s-lab\n")
    assert planning.load(file).lab.workers.count == 1
    with_lab_file(lab, "workers: {count: 2}\n")
    assert planning.load(file).lab.workers.count == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("workers: {count: 1}  # mine\n", "workers: {count: 12}  # mine\n"),
        ("name: a\nworkers:\n  # as many as fit\n  count: 3\n  cpus: 1\n",
         "name: a\nworkers:\n  # as many as fit\n  count: 12\n  cpus: 1\n"),
    ],
    ids=["in one line", "in a block"],
)  # fmt: skip
def test_the_number_in_lab_yml_changes_in_place(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "lab.yml"
    file.write_text(before)
    write_worker_count(file, 12)
    assert file.read_text() == after


def test_reset_of_a_lab_whose_machines_are_off_is_refused(lab: Lab) -> None:
    done = labctl(lab, "reset", "--yes")
    assert done.returncode == 4
    assert "labctl start" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("ssh", "m-k8s", "--", "true"),
        ("exec", "--on", "m-k8s", "--", "true"),
        ("cp", "lab.yml", "m-k8s:/tmp/"),
        ("console", "--detach"),
    ],
    ids=lambda args: args[0],
)
def test_a_lab_whose_machines_are_off_or_missing_is_refused_with_their_state(lab: Lab, args: tuple[str, ...]) -> None:
    with_lab_file(lab, "name: k8s-lab\n")
    done = labctl(lab, *args)
    assert done.returncode in (3, 4), done.stderr
    assert "missing" in done.stderr or "not installed" in done.stderr
    assert "fix: " in done.stderr


@pytest.mark.parametrize("args", [("kubeconfig",), ("kubectl", "--", "get", "nodes")], ids=lambda args: args[0])
def test_a_lab_without_its_cluster_yet_says_how_to_go_on(lab: Lab, args: tuple[str, ...]) -> None:
    lab.directory.kubeconfig.unlink()
    done = labctl(lab, *args)
    assert done.returncode == 2
    assert "not up yet" in done.stderr
    assert "labctl provision" in done.stderr


def lab_of(lab: Lab, workers: int) -> Lab:
    """The same lab, on disk, with more workers."""
    first = lab.plan.workers[0]
    more = tuple(
        replace(first, name=f"w{i}-k8s", address=f"192.168.56.10{i}", ssh_port=60100 + i) for i in range(1, workers + 1)
    )
    plan = replace(lab.plan, nodes=(lab.plan.control_plane, *more))
    save_plan(lab.directory, plan)
    return Lab(lab.directory, plan)


def test_console_without_tmux_and_superputty_without_puttygen_name_the_package(lab: Lab, tmp_path: Path) -> None:
    for verb, package in ((["console"], "tmux"), (["export", "superputty"], "puttygen")):
        done = labctl(lab, *verb, path=str(tmp_path / "empty"))
        assert done.returncode == 3, done.stderr
        assert package in done.stderr
        assert "fix:" in done.stderr
    assert not list(tmp_path.glob("*.ppk"))


CHANGING = ["provision --yes", "scale --workers 2 --yes", "reset --yes", "halt", "start", "destroy --yes"]


@pytest.mark.parametrize("verb", CHANGING)
def test_whatever_changes_a_lab_is_told_who_works_on_it(lab: Lab, verb: str) -> None:
    with exclusive_lock(lab.directory, "upgrade"):
        done = labctl(lab, *verb.split())
    assert done.returncode == 8, done.stderr
    assert f"`labctl upgrade` is working on this lab: process {os.getpid()}" in done.stderr
