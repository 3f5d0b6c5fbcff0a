"""Verdicts on a host, and how many questions are asked at once."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import spec
from orchestrator.doctor import (
    Check,
    Finding,
    Repair,
    Result,
    good,
    host_checks,
    judges,
    not_applicable,
    probes,
    run_checks,
)
from orchestrator.doctor.checks import Needs, needs
from orchestrator.errors import HostError
from orchestrator.host import HostNetwork
from orchestrator.model import BuildableBundle, Observed, Sizing, SourceContent
from orchestrator.spec.rules import offsets
from orchestrator.verbs import doctor as workflow
from orchestrator.verify import html, junit

LAB = Needs(
    provider="container",
    nodes=4,
    memory=2400,
    disk=9000,
    cpus=2,
    ports={60010: "SSH of m-k8s", 60101: "SSH of w1-k8s"},
    ports_chosen=False,
    subnet="192.168.56.0/24",
    pod_cidr="172.16.0.0/16",
    service_cidr="10.96.0.0/12",
    kubernetes=True,
)
NETWORKS = (HostNetwork("eth0", "10.0.0.0/24"), HostNetwork("wlan0", "192.168.56.0/22"))


@pytest.mark.parametrize(
    ("finding", "passed", "says"),
    [
        (judges.system("Linux", "x86_64"), True, "Linux"),
        (judges.system("Linux", "aarch64"), False, "aarch64"),
        (judges.system("Darwin", "x86_64"), False, "Darwin"),
        (judges.program("ssh", "OpenSSH_9.2p1 Debian", (7, 6), ""), True, "9.2"),
        (judges.program("ssh", "OpenSSH_7.2p2", (7, 6), ""), False, "7.2"),
        (judges.program("ssh", None, (7, 6), "install it"), False, "not installed"),
        (judges.program("ssh-keygen", "unknown option -- ?", (), ""), True, "installed"),
        (judges.program("VirtualBox", "7.0.20r163906", (6, 1, 28), ""), True, "7.0.20"),
        (judges.program("VirtualBox", "6.1.26r145957", (6, 1, 28), ""), False, "6.1.26"),
        (judges.virtualization(("vmx",), False, True), True, "vmx"),
        (judges.virtualization(("fpu",), False, True), False, "none"),
        (judges.virtualization((), False, False), None, "containers"),
        (judges.swap(0, 0), True, "none"),
        (judges.swap(2048, 100), False, "1948 of 2048"),
        (judges.ports(LAB.ports, {22}, False), True, "all 2"),
        (judges.ports(LAB.ports, {60101}, False), True, "other ports will be taken"),
        (judges.ports(LAB.ports, {60101}, True), False, "60101 (SSH of w1-k8s)"),
        (judges.overlap("the subnet", "192.168.56.0/24", NETWORKS, "network.subnet"), False, "wlan0"),
        (judges.overlap("the subnet", "192.168.60.0/24", NETWORKS, "network.subnet"), True, "no overlap"),
        (judges.overlap("the subnet", "auto", NETWORKS, "network.subnet"), True, "chosen"),
        (judges.overlap("s", "192.168.56.0/24", NETWORKS[1:], "f", own="192.168.56.0/22"), True, "no overlap"),
        (judges.controllers(("cpu", "cpuset", "memory", "pids", "io")), True, "all"),
        (judges.controllers(("cpu", "cpuset", "pids")), False, "without memory"),
        (judges.capabilities((), True), True, "all there"),
        (judges.capabilities(("SYS_RESOURCE",), True), True, "SYS_RESOURCE missing"),
        (judges.capabilities(("SYS_ADMIN", "BPF"), True), False, "without SYS_ADMIN"),
        (judges.capabilities(("SYS_ADMIN",), False), None, "hypervisor"),
        (judges.module("br_netfilter", True, True), True, "there"),
        (judges.module("br_netfilter", False, True), False, "not loaded"),
        (judges.module("br_netfilter", False, False), None, "own kernel"),
        (judges.clock(1_800_000_000.0, 1_700_000_000.0), True, "plausible"),
        (judges.clock(1_700_000_000.0, 1_700_007_200.0), False, "2.0 hours behind"),
        (judges.resolver("# x\nnameserver 192.0.2.1\n", False), True, "192.0.2.1"),
        (judges.resolver("search example\n", False), False, "none"),
        (judges.resolver("", True), None, "LABCTL_OFFLINE"),
        (judges.proxy({}, LAB.subnet), True, "none"),
        (judges.proxy({"HTTP_PROXY": "http://proxy:3128"}, LAB.subnet), True, "http_proxy set"),
        (judges.proxy({"https_proxy": "proxy:3128"}, LAB.subnet), False, "https_proxy"),
        (judges.proxy({"http_proxy": "http://proxy:x"}, LAB.subnet), False, "http_proxy"),
        (judges.locale("C.UTF-8", "UTF-8"), True, "UTF-8"),
        (judges.locale("C", "ANSI_X3.4-1968"), False, "ANSI"),
        (judges.runtime_path("/run/labctl"), True, "11 bytes"),
        (judges.runtime_path("/run/" + "x" * 80), False, "85 bytes"),
        (judges.at_least(1, 2, "CPUs", "take more"), False, "1 CPUs"),
        (judges.at_least(2, 2, "CPUs", ""), True, "2 CPUs"),
        (judges.stale("lock", []), True, "none"),
        (judges.stale("lock", ["/a/lock.holder"]), False, "/a/lock.holder"),
        (workflow.judge_storage("vfs"), False, "vfs"),
        (workflow.judge_storage("overlay2"), True, "overlay2"),
    ],
)
def test_a_judge_says_what_was_found_and_a_refusal_names_its_fix(
    finding: Finding, passed: bool | None, says: str
) -> None:
    assert finding.passed is passed
    assert says in finding.found
    if passed is False and finding.fix != "":
        assert finding.required


def test_a_proxy_with_a_password_is_not_told() -> None:
    finding = judges.proxy({"http_proxy": "http://me:hunter2@proxy:3128", "https_proxy": "me:hunter2@proxy"}, "")
    assert "hunter2" not in f"{finding}"


def test_controllers_are_read_from_both_hierarchies() -> None:
    v1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t5\t1\nmemory\t0\t5\t0\n"
    assert judges.parse_controllers(v1, "pids io\n") == ("cpu", "io", "pids")


def _observed(**given: object) -> Observed:
    plain = Observed(
        uuid="u",
        owner="/o",
        cpus=2,
        memory=8000,
        disk_free=20000,
        disk_path="/c",
        kernel="6",
        cgroup="v2",
        providers=(),
        community_reason="not looked at: LABCTL_OFFLINE is set",
    )
    return replace(plain, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observed", "passed", "says"),
    [
        (_observed(), False, "LABCTL_OFFLINE"),
        (_observed(bundles=(SourceContent("b", "1.20.2"),)), True, "1 bundle"),
        (_observed(community_reachable=True, community_reason="it answered"), True, "it answered"),
        (_observed(buildable=BuildableBundle(possible=True)), True, "can be built"),
    ],
)
def test_packages_come_from_the_cache_a_source_or_a_build(observed: Observed, passed: bool, says: str) -> None:
    finding = workflow.judge_source(observed)
    assert finding.passed is passed
    assert says in finding.found


def test_what_a_lab_takes_follows_from_its_nodes() -> None:
    asked = spec.load(None)
    sizing = Sizing(False, 1000, 2000, 300, 2, memory_control_plane=900, memory_worker=500, memory_bare=100)
    taken = needs(asked, "container", sizing, offsets(asked.lab))
    assert (taken.nodes, taken.memory, taken.disk, taken.cpus) == (4, 900 + 3 * 500, 4 * 2000 + 1000, 2)
    assert sorted(taken.ports) == [60010, 60101, 60102, 60103]


def test_at_least_thirty_questions_are_asked_under_distinct_names(tmp_path: Path) -> None:
    ids = [check.id for check in host_checks(LAB, tmp_path / ".labctl", True)]
    ids += [check.id for check in workflow.checks_for(spec.load(None))]
    assert len(set(ids)) >= 40
    assert len({check.id for check in host_checks(LAB, tmp_path, True)}) == len(host_checks(LAB, tmp_path, True)) >= 30


def test_all_are_asked_at_once_and_one_that_hangs_or_breaks_is_a_result_too() -> None:
    both, never = threading.Barrier(2, timeout=5), threading.Event()

    def meets() -> Finding:
        both.wait()
        return good("met")

    def hangs() -> Finding:
        never.wait(30)
        return good("late")

    checks = [
        Check("a", "A", meets),
        Check("b", "B", meets),
        Check("c", "C", hangs, seconds=0.2),
        Check("d", "D", lambda: Finding(bool(1 / 0), "")),
        Check("e", "E", lambda: Finding(False, "low", "more", "add"), severity="warning"),
        Check("f", "F", lambda: not_applicable("no such thing")),
    ]
    began = time.monotonic()
    results = run_checks(checks)
    never.set()
    assert time.monotonic() - began < 5
    assert [one.status for one in results] == ["ok", "ok", "error", "error", "warning", "not_applicable"]
    assert "no answer within" in results[2].found
    assert "ZeroDivisionError" in results[3].found


def test_a_costly_look_is_taken_once_for_all_who_ask() -> None:
    seen: list[int] = []
    once = probes.Once(lambda: seen.append(1) or len(seen))  # type: ignore[func-returns-value]
    assert [once(), once()] == [1, 1]


def test_only_dead_holders_and_half_written_files_count_as_stale(tmp_path: Path) -> None:
    lab = tmp_path / "k8s-lab"
    lab.mkdir(mode=0o700)
    assert probes.dead_holders(tmp_path) == probes.half_written(tmp_path) == []
    (lab / "lock.holder").write_text("{")
    (lab / ".plan.json.999999999").write_text("")
    (lab / ".plan.json.1").write_text("")
    assert probes.dead_holders(tmp_path) == [str(lab / "lock.holder")]
    assert probes.half_written(tmp_path) == [str(lab / ".plan.json.999999999")]


def test_a_damaged_or_open_state_directory_is_named(tmp_path: Path) -> None:
    lab = tmp_path / "k8s-lab"
    lab.mkdir(mode=0o755)
    (lab / "plan.json").write_text("{")
    found = probes.damaged_states(tmp_path)
    assert [
        part for part in ("read by others", "cannot be read", "no identity") if not any(part in f for f in found)
    ] == []


def _diagnosis(*results: Result) -> workflow.Diagnosis:
    return workflow.Diagnosis(1_700_000_000.0, 0.5, results)


def test_a_warning_leaves_the_host_ready_and_a_failure_does_not() -> None:
    assert _diagnosis(Result("a", "A", "ok", "x"), Result("b", "B", "warning", "x")).ok
    assert not _diagnosis(Result("a", "A", "error", "x")).ok


def test_the_reports_of_verify_can_show_a_host() -> None:
    report = _diagnosis(Result("host.cpus", "CPUs", "failed", "1 CPU", "2 CPUs", "buy <one>")).as_report()
    assert "1 CPU; required: 2 CPUs" in html.render_html(report)
    assert 'failures="1"' in junit.render_junit(report)


def test_repair_removes_stale_files_only_when_the_user_agrees(tmp_path: Path) -> None:
    file = tmp_path / "lock.holder"
    file.write_text("")
    found = _diagnosis(Result("state.locks", "Notes", "warning", "x", repair=Repair(remove=(str(file),))))
    assert not workflow.repair(found, lambda question: False)
    assert file.exists()
    assert workflow.repair(found, lambda question: True)
    assert not file.exists()


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would be installed, instead of installing it."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(workflow.host, "package_manager", lambda: "apt")
    monkeypatch.setattr(workflow.host, "install_packages", lambda names: asked.append(tuple(names)))
    return asked


def test_repair_installs_all_packages_at_once_after_showing_the_command(installs: list[tuple[str, ...]]) -> None:
    found = _diagnosis(
        Result("program.ssh", "SSH", "failed", "missing", repair=Repair(packages=("openssh-client",))),
        Result("program.ip", "ip", "failed", "missing", repair=Repair(packages=("iproute2", "openssh-client"))),
        Result("program.fine", "Fine", "ok", "there", repair=Repair(packages=("never",))),
    )
    questions: list[str] = []
    assert not workflow.repair(found, lambda question: bool(questions.append(question)))
    assert installs == []
    assert len(questions) == 1
    assert "apt-get" in questions[0]
    assert "openssh-client, iproute2" in questions[0]
    assert workflow.repair(found, lambda question: True)
    assert installs == [("openssh-client", "iproute2")]


def test_a_file_that_cannot_be_removed_is_named_with_the_command(tmp_path: Path) -> None:
    found = _diagnosis(Result("state.locks", "Notes", "warning", "x", repair=Repair(remove=(str(tmp_path),))))
    with pytest.raises(HostError) as refused:
        workflow.repair(found, lambda question: True)
    assert str(tmp_path) in refused.value.message
    assert refused.value.fix == f"sudo rm {tmp_path}"


def test_nothing_is_repaired_that_nobody_asked_for() -> None:
    assert not workflow.repair(_diagnosis(Result("a.b", "A", "failed", "x", fix="by hand")), lambda question: True)
