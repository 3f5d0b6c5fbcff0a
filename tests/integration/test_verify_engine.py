"""verify from end to end over check files written for the purpose, local shells standing at the place of nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.checks.model import Report, Result
from orchestrator.errors import LabError, SpecError
from orchestrator.events import Event, Step
from orchestrator.verify import Target, run_checks
from orchestrator.verify.conditions import NOT_INSTALLED
from orchestrator.verify.job import ClusterTarget, HostTarget, Job

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("sh", "-c", "exec sh")
SILENT = ("sh", "-c", "exec sleep 60")

CHECKS = '''
import pytest


@pytest.mark.check(id="a.second", layer="system", after="a.first")
def test_second(host):
    pass


@pytest.mark.check(id="a.first", layer="system", severity="error", remedy="labctl exec --on {node} -- repair")
def test_first(host, lab_vars):
    """The node holds what it should."""
    found = host.check_output("echo %s", lab_vars["word"])
    assert found == "good", f"it holds {found}"


@pytest.mark.check(id="a.third", layer="runtime", after=["a.second"])
def test_third(host):
    assert host.file("/etc/passwd").contains("root")


@pytest.mark.check(id="a.apply", layer="runtime")
def test_apply(host, lab_vars):
    pytest.skip("not applicable: never")


@pytest.mark.check(id="a.broken", layer="runtime", severity="warning")
def test_broken(host):
    raise ValueError("oops")


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.check(id="a.many", layer="runtime")
def test_many(host, name):
    assert host.run("echo 1; echo 2 >&2; exit 3").rc == 3
'''


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "test_a.py"
    path.write_text(text)
    return path


def run(path: Path, *targets: Target, **more: object) -> Report:
    return run_checks("lab", targets, None, files=[path], **more)  # type: ignore[arg-type]


def found(report: Report) -> dict[tuple[str, str], Result]:
    return {(one.id, one.node): one for one in report.results}


def test_every_node_gets_its_own_verdict_on_every_check(tmp_path: Path) -> None:
    report = run(write(tmp_path, CHECKS), Target("n1", SHELL, {"word": "good"}), Target("n2", SHELL, {"word": "bad"}))
    verdicts = {key: one.status for key, one in found(report).items()}
    assert verdicts == {
        ("machine.reachable", "n1"): "ok",
        ("machine.reachable", "n2"): "ok",
        ("a.first", "n1"): "ok",
        ("a.first", "n2"): "failed",
        ("a.second", "n1"): "ok",
        ("a.second", "n2"): "not_run",
        ("a.third", "n1"): "ok",
        ("a.third", "n2"): "not_run",
        ("a.apply", "n1"): "not_applicable",
        ("a.apply", "n2"): "not_applicable",
        ("a.broken", "n1"): "error",
        ("a.broken", "n2"): "error",
        ("a.many[x]", "n1"): "ok",
        ("a.many[y]", "n1"): "ok",
        ("a.many[x]", "n2"): "ok",
        ("a.many[y]", "n2"): "ok",
    }
    failed = found(report)["a.first", "n2"]
    assert failed.title == "The node holds what it should"
    assert failed.evidence == "it holds bad"
    assert failed.remedy == "labctl exec --on n2 -- repair"
    assert found(report)["a.second", "n2"].evidence == "waits for a.first"


def test_nodes_that_cannot_be_reached_fail_once_and_stop_nobody_else(tmp_path: Path) -> None:
    report = run(
        write(tmp_path, CHECKS),
        Target("off", ("sh", "-c", "echo 'ssh: connect to host x: Connection refused' >&2; exit 255")),
        Target("stopped", SHELL, {}, "the machine is stopped"),
        Target("n1", SHELL, {"word": "good"}),
    )
    bad = {one.node: one for one in report.results if one.bad and one.id != "a.broken"}
    assert {node: one.id for node, one in bad.items()} == {"off": "machine.reachable", "stopped": "machine.reachable"}
    assert "its SSH server is down" in bad["off"].evidence
    assert bad["stopped"].evidence == "the machine is stopped"
    assert found(report)["a.third", "off"].evidence == "waits for machine.reachable on off"
    assert found(report)["a.third", "n1"].status == "ok"


def test_a_node_that_hangs_ends_with_the_time_limit_and_the_rest_is_reported(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
import pytest

@pytest.mark.check(id="a.hang", layer="system")
def test_hang(host, lab_vars):
    host.run("sleep %s", lab_vars["seconds"])

@pytest.mark.check(id="a.after", layer="system")
def test_after(host):
    assert host.run("true").rc == 0
""",
    )
    started = time.monotonic()
    report = run(path, Target("slow", SHELL, {"seconds": "60"}), Target("n1", SHELL, {"seconds": "0"}), deadline=2)
    assert time.monotonic() - started < 10
    assert found(report)["a.hang", "slow"].status == "error"
    assert "sleep 60" in found(report)["a.hang", "slow"].evidence
    assert found(report)["a.after", "slow"].status == "error"
    assert "time limit of 2 s" in found(report)["a.after", "slow"].evidence
    assert {one.status for one in report.results if one.node == "n1"} == {"ok"}


def test_a_check_that_kills_its_process_is_an_error_and_not_silence(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
import os
import pytest

@pytest.mark.check(id="a.crash", layer="system")
def test_crash(host):
    os._exit(3)
""",
    )
    report = run(path, Target("n1", SHELL))
    assert found(report)["a.crash", "n1"].status == "error"


def test_a_file_that_cannot_be_read_is_an_error_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "test_odd.py").write_text("import no_such_module\n")
    good = write(tmp_path, CHECKS)
    report = run_checks("lab", [Target("n1", SHELL, {"word": "good"})], None, files=[tmp_path / "test_odd.py", good])
    odd = found(report)["collect.test_odd.py", ""]
    assert odd.status == "error"
    assert "No module named 'no_such_module'" in odd.evidence
    assert found(report)["a.first", "n1"].status == "ok"


def test_an_unknown_choice_is_refused_before_any_node_is_contacted(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    target = Target("n1", ("sh", "-c", f"touch {touched}; exec sh"), {"word": "good"})
    with pytest.raises(SpecError, match=r"a\.frist, w9"):
        run(write(tmp_path, CHECKS), target, only=["a.frist", "w9"])
    assert not touched.exists()


def test_a_choice_runs_only_what_was_chosen(tmp_path: Path) -> None:
    nodes = [Target(name, SHELL, {"word": "good"}) for name in ("n1", "n2")]
    report = run(write(tmp_path, CHECKS), *nodes, only=["runtime/n2"])
    assert {one.node for one in report.results} == {"n2"}
    assert {one.layer for one in report.results} == {"machine", "runtime"}


def test_nothing_of_the_users_directory_or_environment_takes_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, CHECKS)
    (tmp_path / "conftest.py").write_text("raise RuntimeError('taken in')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "rich.py").write_text("raise RuntimeError('taken in')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    assert found(run(path, Target("n1", SHELL, {"word": "good"})))["a.first", "n1"].status == "ok"


def test_progress_names_what_fails_and_when_a_node_is_done(tmp_path: Path) -> None:
    events: list[Event] = []
    run(write(tmp_path, CHECKS), Target("n1", SHELL, {"word": "bad"}), emit=events.append, phase="verify")
    steps = [event for event in events if isinstance(event, Step)]
    assert ("n1", "The node holds what it should", "failed", "it holds bad") in [
        (step.node, step.name, step.status, step.detail) for step in steps
    ]
    assert (steps[-1].node, steps[-1].name, steps[-1].status) == ("n1", "checks", "failed")


def test_many_nodes_hanging_at_login_cost_the_time_of_one(tmp_path: Path) -> None:
    started = time.monotonic()
    report = run(write(tmp_path, CHECKS), *[Target(f"n{i}", SILENT) for i in range(6)], deadline=3)
    assert time.monotonic() - started < 10
    assert report.count("failed") == 6


def test_an_engine_that_says_nothing_is_an_error_of_labctl(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no check was run"):
        run_checks("lab", [], None, files=[write(tmp_path, "x = 1\n")])


def test_the_hosts_side_is_looked_at_once_whatever_the_nodes_say(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("clusters:\n- cluster:\n    server: https://127.0.0.1:1\n")
    kubeconfig.chmod(0o644)
    side = HostTarget("192.0.2.7", "https://127.0.0.1:1", str(kubeconfig), newest=time.time() + 7200)
    checks = ROOT / "orchestrator" / "verify" / "host_checks" / "host.py"
    report = run_checks("lab", [Target("off", ("false",))], None, files=[checks], host=side)
    assert {identity: one.status for (identity, node), one in found(report).items() if not node} == {
        "host.network": "failed",
        "host.api_port": "failed",
        "host.kubeconfig": "ok",
        "host.kubeconfig_private": "failed",
        "host.clock": "warning",
    }
    kubeconfig.unlink()
    report = run_checks("lab", [Target("off", ("false",))], None, files=[checks], host=side, only=["host"])
    assert found(report)["host.kubeconfig", ""].status == "failed"
    assert found(report)["host.kubeconfig_private", ""].evidence == "waits for host.kubeconfig"


def test_ctrl_c_ends_the_engine_its_processes_and_its_sessions(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
import pytest

@pytest.mark.check(id="a.hang", layer="system")
def test_hang(host):
    host.run("echo $$ >{tmp_path}/pid; exec sleep 60", limit=50)
""",
    )
    job = tmp_path / "job.json"
    job.write_text(Job((Target("n1", SHELL),), None, (str(path),), str(tmp_path)).as_json())
    engine = subprocess.Popen([sys.executable, "-m", "orchestrator.verify.engine", str(job)], start_new_session=True)
    until = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < until
    hanging = int((tmp_path / "pid").read_text())
    os.killpg(engine.pid, signal.SIGTERM)
    engine.wait(timeout=10)
    while Path(f"/proc/{hanging}").exists():
        assert time.monotonic() < until


OWN_NETWORK = """
def test_pods(cluster):
    assert not "cut off"


def test_nodes(cluster):
    assert False, "w1-k8s: cni config uninitialized; install your pod network on it"


def test_kubelet(host):
    pass
"""
OWN_NETWORK_DECLARED = """checks:
  - {id: a.pods, title: A, layer: network, remedy: labctl provision, pod_network: true, test: test_pods}
  - {id: a.nodes, title: C, layer: control_plane, remedy: labctl provision, test: test_nodes}
  - {id: a.kubelet, title: B, layer: kubelet, remedy: labctl provision, test: test_kubelet}
"""
LACKS = "runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni config uninitialized"


def verify_own_network(tmp_path: Path, cni: str, status: str, message: str) -> dict[tuple[str, str], Result]:
    """A run over a cluster of one node with this condition, kubectl and ls being doubles."""
    stated = {"type": "Ready", "status": status, "message": message}
    node = {"kind": "Node", "metadata": {"name": "m-k8s"}, "spec": {}, "status": {"conditions": [stated]}}
    for name, printed in {"kubectl": json.dumps({"items": [node]}), "ls": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{printed}'\n")
        (tmp_path / name).chmod(0o755)
    path = write(tmp_path, OWN_NETWORK)
    path.with_suffix(".yml").write_text(OWN_NETWORK_DECLARED)
    target = Target("m-k8s", ("sh", "-c", f"PATH={tmp_path}:$PATH exec sh"))
    return found(run_checks("lab", [target], ClusterTarget("m-k8s", "1.37.2", {}, cni), files=[path]))


def test_what_needs_a_pod_network_does_not_apply_before_its_user_installed_one(tmp_path: Path) -> None:
    results = verify_own_network(tmp_path, "none", "False", LACKS)
    assert (results["a.pods", ""].status, results["a.pods", ""].evidence) == ("not_applicable", NOT_INSTALLED)
    assert results["a.kubelet", "m-k8s"].status == "ok"


def test_a_pod_network_that_its_user_installed_is_checked_and_his_to_repair(tmp_path: Path) -> None:
    results = verify_own_network(tmp_path, "none", "True", "")
    assert results["a.pods", ""].status == "failed"
    assert results["a.pods", ""].remedy == "repair the pod network that you installed, then: labctl verify"
    assert results["a.nodes", ""].remedy == results["a.pods", ""].remedy


def test_a_missing_pod_network_of_labctls_fails(tmp_path: Path) -> None:
    results = verify_own_network(tmp_path, "bridge_cni", "False", LACKS)
    assert results["a.pods", ""].status == "failed"
    assert results["a.pods", ""].remedy == "labctl provision"


ACROSS = """
import time

import pytest


def test_disk(host, lab_vars):
    time.sleep(0.5)
    assert lab_vars["disk"] == "whole"


def test_database(cluster):
    pass


def test_rest(cluster):
    pass
"""
ACROSS_DECLARED = """checks:
  - {id: a.disk, title: A, layer: system, remedy: labctl provision, test: test_disk}
  - {id: a.database, title: B, layer: control_plane, remedy: labctl provision, after: [a.disk], test: test_database}
  - {id: a.rest, title: C, layer: control_plane, remedy: labctl provision, after: [a.database], test: test_rest}
"""


@pytest.mark.parametrize(
    ("disk", "status", "waits"),
    [("whole", "ok", ("", "")), ("broken", "not_run", ("waits for a.disk", "waits for a.database"))],
)
def test_a_check_of_the_cluster_waits_for_those_of_the_control_planes_machine(
    tmp_path: Path, disk: str, status: str, waits: tuple[str, str]
) -> None:
    path = write(tmp_path, ACROSS)
    path.with_suffix(".yml").write_text(ACROSS_DECLARED)
    targets = [Target("m-k8s", SHELL, {"disk": disk}), Target("w1-k8s", SHELL, {"disk": "broken"})]
    results = found(run_checks("lab", targets, ClusterTarget("m-k8s", "1.37.2", {}, "bridge_cni"), files=[path]))
    assert [results[name, ""].status for name in ("a.database", "a.rest")] == [status, status]
    assert tuple(results[name, ""].evidence for name in ("a.database", "a.rest")) == waits


SETTLING = """
def test_rules(host, lab_vars):
    path = f"{lab_vars['place']}/{lab_vars['word']}"
    looks = host.check_output(f"echo look >>{path}; wc -l <{path}")
    assert int(looks) >= 3, "not yet"
"""
SETTLING_DECLARED = """checks:
  - {{id: a.rules, title: A, layer: network, remedy: labctl provision, settles: {settles}, test: test_rules}}
"""


@pytest.mark.parametrize(
    ("settles", "seconds", "status", "looks"),
    [("true", 60.0, "ok", 3), ("true", 0.0, "failed", 1), ("false", 60.0, "failed", 1)],
    ids=["a lab that was just built", "a lab that stands", "a check of what does not settle"],
)
def test_what_may_come_later_is_looked_at_again_on_a_lab_that_was_just_built(
    tmp_path: Path, settles: str, seconds: float, status: str, looks: int
) -> None:
    path = write(tmp_path, SETTLING)
    path.with_suffix(".yml").write_text(SETTLING_DECLARED.format(settles=settles))
    target = Target("m-k8s", SHELL, {"place": str(tmp_path), "word": "looks"})
    cluster = ClusterTarget("m-k8s", "1.37.2", {}, "bridge_cni", settle=seconds)
    results = found(run_checks("lab", [target], cluster, files=[path]))
    assert results["a.rules", "m-k8s"].status == status
    assert len((tmp_path / "looks").read_text().splitlines()) == looks
