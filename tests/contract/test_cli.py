"""The contract of the command line: exit codes, one clear message per failure, no traceback, nothing created."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.main import COMMANDS, MAX_LINES, describe
from orchestrator.errors import ExitCode, HostError, Problem

ROOT = Path(__file__).resolve().parents[2]


def labctl(*args: str, cwd: Path, lab: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    if lab is not None:
        (cwd / "lab.yml").write_text(lab)
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *args],
        cwd=cwd,
        env={**os.environ, "LABCTL_OFFLINE": "1", "PYTHONPATH": str(ROOT), "LABCTL_CACHE": str(cwd / "cache")},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


REFUSED = [
    ("invalid YAML", "workers: [1,\n", 2, ["lab.yml:"]),
    ("an unknown key", "workers: {cont: 3}\n", 2, ["lab.yml:1 workers.cont", "count"]),
    ("minus one worker", "workers: {count: -1}\n", 2, ["workers.count", "-1"]),
    ("300 workers", "workers: {count: 300}\n", 2, ["workers.count", "300"]),
    ("pods and Services on one network", "kubernetes: {pod_cidr: 10.96.0.0/16}\n", 2, ["pod_cidr", "overlaps"]),
    ("too little memory", "control_plane: {memory: 1024}\n", 2, ["control_plane.memory", "1700"]),
    ("a version that does not exist", 'kubernetes: {version: "1.99"}\n', 2, ["kubernetes.version", "1.99"]),
    ("a list instead of a map", "- a\n- b\n", 2, ["lab.yml:1"]),
    ("a provider that is not installed", "provider: virtualbox\n", 3, ["VirtualBox"]),
]


@pytest.mark.parametrize(("what", "text", "code", "words"), REFUSED, ids=[case[0] for case in REFUSED])
def test_bad_input_is_refused_with_its_place_and_nothing_is_created(
    tmp_path: Path, what: str, text: str, code: int, words: list[str]
) -> None:
    done = labctl("provision", "--yes", cwd=tmp_path, lab=text)
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= MAX_LINES + 3
    assert not (tmp_path / ".labctl" / "k8s-lab" / "plan.json").exists()


def test_an_explicit_busy_port_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = labctl("plan", cwd=tmp_path, lab=f"kubernetes: {{api_port: {port}}}\n")
    assert done.returncode == 3, done.stderr
    assert str(port) in done.stderr
    assert "api_port" in done.stderr


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    done = labctl("plan", cwd=tmp_path, lab="workers: {count: -1, cpus: 0}\nnmae: x\n")
    assert done.returncode == 2
    for field in ("workers.count", "workers.cpus", "nmae"):
        assert field in done.stderr


def test_a_missing_lab_file_is_named(tmp_path: Path) -> None:
    done = labctl("plan", "--lab", "other.yml", cwd=tmp_path)
    assert done.returncode == 2
    assert "other.yml" in done.stderr


@pytest.mark.parametrize("verb", [["status"], ["verify"], ["kubeconfig"], ["ssh", "m-k8s"], ["inventory", "--list"]])
def test_a_command_on_a_missing_lab_says_how_to_create_one(tmp_path: Path, verb: list[str]) -> None:
    done = labctl(*verb, cwd=tmp_path)
    assert done.returncode == 2
    assert "no lab in" in done.stderr
    assert "labctl provision" in done.stderr


def test_an_unknown_command_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    done = labctl("provison", cwd=tmp_path)
    assert done.returncode == 2
    assert "labctl provision" in done.stderr


def test_plan_prints_every_decision_with_its_reason_and_starts_nothing(tmp_path: Path) -> None:
    # Machines that exist: what other labs take of this host does not matter to them.
    hosts = "".join(f"    - admin@10.9.0.1{number} SHA256:{'A' * 43}\n" for number in range(4))
    lab = f"provider: static\nnetwork: {{subnet: 10.9.0.0/24}}\nstatic:\n  hosts:\n{hosts}"
    done = labctl("plan", "--output", "json", cwd=tmp_path, lab=lab)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["schema"] == "labctl/plan/v1"
    assert [node["name"] for node in plan["nodes"]] == ["m-k8s", "w1-k8s", "w2-k8s", "w3-k8s"]
    assert all(decision["reason"] for decision in plan["decisions"])
    assert not (tmp_path / ".labctl").exists()


def test_every_command_has_help_and_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", readme), command


def test_the_exit_code_table_in_the_docs_is_that_of_the_code() -> None:
    table = (ROOT / "docs/reference/exit-codes.md").read_text()
    documented = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| ([A-Z]+) \|", table, re.MULTILINE)}
    assert documented == {code.name: int(code) for code in ExitCode}


def test_a_failure_is_printed_in_at_most_twelve_lines_with_fix_and_log() -> None:
    problems = [Problem(f"problem {number}", "here", "do that") for number in range(20)]
    lines = describe(
        HostError("this host is not ready", problems=problems, fix="labctl doctor", log=Path("/var/log/x"))
    )
    assert len(lines) <= MAX_LINES
    assert lines[0] == "this host is not ready"
    assert lines[-2:] == ["  fix: labctl doctor", "  log: /var/log/x"]


def test_help_needs_neither_ansible_nor_docker_nor_pydantic() -> None:
    code = (
        "import sys; from orchestrator.cli.main import invoke; invoke(['--help']);"
        "heavy = {'ansible', 'ansible_runner', 'docker', 'pydantic', 'rich', 'pytest'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_inventory_script_is_a_shell_script_that_python_understands() -> None:
    script = ROOT / "inventory" / "lab.py"
    done = subprocess.run([str(script), "--list"], cwd="/", capture_output=True, text=True, timeout=60, env={})
    assert done.returncode == 2
    assert done.stderr.startswith("labctl: there is no lab in /")


@pytest.mark.parametrize("report", ["pdf=x", "html", "html=/no/such/directory/x.html", "junit=/"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path, report: str) -> None:
    done = labctl("verify", "--report", report, cwd=tmp_path)
    assert done.returncode == 2
    assert f"--report {report}" in done.stderr
    assert "fix:" in done.stderr


def test_a_host_without_docker_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.errors import HostError
    from orchestrator.lab import host_setup
    from orchestrator.spec import parse

    monkeypatch.setattr(host_setup, "missing_packages", lambda spec: ("docker.io", "iptables"))
    with pytest.raises(HostError) as refused:
        host_setup.install_missing_packages(parse("provider: container\n"), lambda question: False, lambda event: None)
    assert refused.value.exit_code == ExitCode.HOST
    assert "docker.io, iptables" in refused.value.message
    assert "labctl provision --yes" in refused.value.fix


def test_no_engine_is_started_without_agreement(tmp_path: Path) -> None:
    from orchestrator.providers.container import engine

    if engine.running() is not None:
        pytest.skip("a Docker engine runs here already, so nothing would have to be started")
    done = labctl("provision", cwd=tmp_path, lab="provider: container\nnetwork: {subnet: auto}\n")
    assert done.returncode == 3
    assert "no Docker engine runs here" in done.stderr
    assert "labctl provision --yes" in done.stderr
    assert not (tmp_path / ".labctl" / "k8s-lab" / "plan.json").exists()
