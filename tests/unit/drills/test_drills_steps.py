"""Steps: what each does in bash and Ansible, how a break is taken back, and that the shell can read all of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.drills.catalog import load_all
from orchestrator.drills.grading import goal_script
from orchestrator.drills.steps import KEPT, Step, Steps, playbook, undo
from tests.drift import catalog as drift
from tests.faults import catalog as faults

DRILLS = load_all([Path(__file__).resolve().parents[3] / "drills"]).drills
NAMES = {
    "control_plane": "m-k8s",
    "control_plane_address": "192.0.2.10",
    "first_worker": "w1-k8s",
    "worker": "w2-k8s",
    "worker_address": "192.0.2.102",
}


def scripts() -> Iterator[tuple[str, str]]:
    """Every script of drills, drift cases and faults, under a name."""
    for slug, drill in DRILLS.items():
        for step in (*drill.breaks, *drill.solve, *drill.bad_fix, *drill.reset_steps):
            yield slug, step.script
        yield f"{slug}: goals", goal_script([goal for goal in drill.expect if goal.is_own], NAMES)
    for case in (*drift.load(), *faults.load()):
        for step in (*case.breaks, *case.repair):
            yield case.id, step.script


def steps(*entries: Any) -> tuple[Step, ...]:
    return TypeAdapter(Steps).validate_python(list(entries))


def plays(*entries: Any) -> list[dict[str, Any]]:
    return playbook(steps(*entries), NAMES, "Title")


def test_a_step_that_is_text_is_a_line_for_bash_on_the_control_plane() -> None:
    (play,) = plays("echo {worker}")
    assert play["hosts"] == "m-k8s"
    assert play["tasks"][0]["ansible.builtin.command"]["argv"] == ["bash", "-euc", "echo w2-k8s"]
    assert play["environment"]["WORKER"] == "w2-k8s"
    assert play["environment"]["SAVED"] == KEPT


def test_a_module_gets_its_arguments_with_the_names_of_the_lab() -> None:
    (play,) = plays({"node": "worker", "ansible.builtin.copy": {"dest": "/x", "content": "{worker_address} {{ a }}"}})
    assert play["tasks"] == [
        {"name": "Title", "ansible.builtin.copy": {"dest": "/x", "content": "192.0.2.102 {{ a }}"}}
    ]


def test_steps_on_one_machine_that_follow_each_other_are_one_play() -> None:
    on_worker = {"name": "Do it", "node": "worker", "shell": "true"}
    made = plays(on_worker, on_worker, "true", on_worker)
    assert [(play["hosts"], len(play["tasks"])) for play in made] == [("w2-k8s", 2), ("m-k8s", 1), ("w2-k8s", 1)]


def test_a_step_in_bash_without_a_name_joins_the_one_before_it_and_cannot_end_it() -> None:
    (play,) = plays({"name": "First", "shell": "echo a; exit 0"}, "echo b", {"name": "Last", "shell": "echo c"})
    first, last = play["tasks"]
    assert (first["name"], last["name"]) == ("First", "Last")
    printed = subprocess.run(first["ansible.builtin.command"]["argv"], check=True, capture_output=True, text=True)
    assert printed.stdout == "a\nb\n"


def test_a_step_on_the_host_needs_neither_ssh_nor_root() -> None:
    (play,) = plays({"node": "host", "shell": "true"})
    assert (play["hosts"], play["connection"], play["become"]) == ("localhost", "local", False)


def test_what_is_kept_comes_before_a_module_and_the_wait_after_it() -> None:
    (play,) = plays({"keep": "/etc/a", "ansible.builtin.file": {"path": "/etc/a"}, "until": "nodes_ready"})
    first, second, third = play["tasks"]
    assert "cp -a" in first["ansible.builtin.command"]["argv"][2]
    assert second["ansible.builtin.file"] == {"path": "/etc/a"}
    assert "kubectl wait" in third["ansible.builtin.command"]["argv"][2]


def test_objects_are_applied_to_the_drills_namespace() -> None:
    (step,) = steps({"apply": ({"kind": "Pod", "metadata": {"name": "x"}},), "until": "pods_ready pod/x"})
    assert step.script.startswith("kubectl -n drill apply -f - <<'END'\n")
    assert step.script.endswith("wait --for=condition=Ready pod/x --timeout=60s")


def run(done: tuple[Step, ...], directory: Path) -> None:
    for step in done:
        script = step.script.replace(KEPT, str(directory / "kept"))
        subprocess.run(["bash", "-euc", script], check=True, capture_output=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    "change",
    [{"keep": "{0}", "shell": "echo after >{0}; chmod 600 {0}"}, {"away": "{0}"},
     {"away": "{0}", "shell": "echo x >{0}"}, {"move": ("{0}", "{0}.old")}],
    ids=["keep", "away", "away-and-replaced", "move"],
)  # fmt: skip
def test_a_break_is_taken_back_even_when_it_was_done_twice(file: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    entry = {
        key: tuple(one.format(file) for one in value) if isinstance(value, tuple) else value.format(file)
        for key, value in change.items()
    }
    broken = steps(entry)
    run(broken, tmp_path)
    assert not file.exists() or file.read_text() != "before"
    run(broken, tmp_path)
    run(undo(broken), tmp_path)
    run(undo(broken), tmp_path)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("before", 0o640)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_services_and_settings_of_the_kernel_are_turned_over_last_first() -> None:
    service = {"name": "kubelet", "state": "stopped", "enabled": False}
    first, second = undo(
        steps({"sysctl": {"net.ipv4.ip_forward": 0}}, {"ansible.builtin.systemd_service": service}, "echo")
    )
    assert first.module == ("ansible.builtin.systemd_service", {"name": "kubelet", "state": "started", "enabled": True})
    assert second.script == "sysctl -qw net.ipv4.ip_forward=1"


@pytest.mark.parametrize("until", ["forever", "rollout", "nodes_ready now", ""])
def test_a_condition_that_does_not_exist_is_refused(until: str) -> None:
    with pytest.raises(ValidationError):
        steps({"until": until})


def test_bash_can_read_every_script_of_drills_drift_and_faults() -> None:
    refused = {}
    for name, script in scripts():
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        if done.returncode or done.stderr:
            refused[name] = done.stderr
    assert refused == {}
