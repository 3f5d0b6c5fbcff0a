"""What is made of the facts of a host, how checks run at once, and what repairs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import spec
from orchestrator.checks.host import HostCheck, Once, evaluate_program, run_host_checks
from orchestrator.checks.html import render_html
from orchestrator.checks.junit import render_junit
from orchestrator.checks.model import DOCTOR, Outcome, Repair, Report, Result, failed, not_applicable, passed
from orchestrator.doctor import Requirements, evaluators, host_checks, probes, requirements
from orchestrator.errors import HostError
from orchestrator.host import HostNetwork
from orchestrator.observed import BuildableBundle, Observed, Sizing, SourceContent
from orchestrator.operating_system import OperatingSystem
from orchestrator.providers.container import host_checks as container
from orchestrator.providers.registry import host_checks as provider_checks
from orchestrator.providers.vagrant.host_checks import evaluate_virtualization
from orchestrator.spec.rules import offsets
from orchestrator.verbs import doctor as workflow
from tests.sources import published

LAB = Requirements(
    nodes=4,
    memory=2400,
    disk=9000,
    cpus=2,
    ports={60010: "SSH of m-k8s", 60101: "SSH of w1-k8s"},
    ports_explicit=False,
    subnet="192.168.56.0/24",
    pod_cidr="172.16.0.0/16",
    service_cidr="10.96.0.0/12",
)
NETWORKS = (HostNetwork("eth0", "10.0.0.0/24"), HostNetwork("wlan0", "192.168.56.0/22"))


@pytest.mark.parametrize(
    ("outcome", "status", "says"),
    [
        (evaluators.system(OperatingSystem("Linux", "x86_64")), "ok", "Linux on x86_64"),
        (evaluators.system(OperatingSystem("Darwin", "arm64")), "ok", "macOS on arm64"),
        (evaluators.system(OperatingSystem("Linux", "x86_64", "5.15-microsoft-standard-WSL2")), "ok", "(WSL)"),
        (evaluators.system(OperatingSystem("Windows", "AMD64")), "failed", "Windows"),
        (evaluators.system(OperatingSystem("FreeBSD", "amd64")), "failed", "FreeBSD"),
        (evaluate_program("ssh", "OpenSSH_9.2p1 Debian", (7, 6), ""), "ok", "9.2"),
        (evaluate_program("ssh", "OpenSSH_7.2p2", (7, 6), ""), "failed", "7.2"),
        (evaluate_program("ssh", None, (7, 6), "install it"), "failed", "not installed"),
        (evaluate_program("ssh-keygen", "unknown option -- ?", (), ""), "ok", "installed"),
        (evaluate_program("VirtualBox", "7.0.20r163906", (6, 1, 28), ""), "ok", "7.0.20"),
        (evaluate_program("VirtualBox", "6.1.26r145957", (6, 1, 28), ""), "failed", "6.1.26"),
        (evaluate_virtualization(("vmx",), False), "ok", "vmx"),
        (evaluate_virtualization(("fpu",), False), "failed", "none"),
        (evaluators.swap(0, 0), "ok", "none"),
        (evaluators.swap(2048, 100), "failed", "1948 of 2048"),
        (evaluators.ports(LAB.ports, {22}, False), "ok", "all 2"),
        (evaluators.ports(LAB.ports, {60101}, False), "ok", "other ports will be taken"),
        (evaluators.ports(LAB.ports, {60101}, True), "failed", "60101 (SSH of w1-k8s)"),
        (evaluators.overlap("the subnet", "192.168.56.0/24", NETWORKS, "network.subnet"), "failed", "wlan0"),
        (evaluators.overlap("the subnet", "192.168.60.0/24", NETWORKS, "network.subnet"), "ok", "no overlap"),
        (evaluators.overlap("the subnet", "auto", NETWORKS, "network.subnet"), "ok", "selected"),
        (evaluators.overlap("s", "192.168.56.0/24", NETWORKS[1:], "f", own="192.168.56.0/22"), "ok", "no overlap"),
        (container.evaluate_controllers(("cpu", "cpuset", "memory", "pids", "io")), "ok", "all"),
        (container.evaluate_controllers(("cpu", "cpuset", "pids")), "failed", "without memory"),
        (container.evaluate_capabilities(()), "ok", "all available"),
        (container.evaluate_capabilities(("SYS_RESOURCE",)), "ok", "SYS_RESOURCE missing"),
        (container.evaluate_capabilities(("SYS_ADMIN", "BPF")), "failed", "without SYS_ADMIN"),
        (container.evaluate_module("br_netfilter", True), "ok", "loaded"),
        (container.evaluate_module("br_netfilter", False), "failed", "not loaded"),
        (evaluators.clock(1_800_000_000.0, 1_700_000_000.0), "ok", "plausible"),
        (evaluators.clock(1_700_000_000.0, 1_700_007_200.0), "failed", "2.0 hours behind"),
        (evaluators.resolver("# x\nnameserver 192.0.2.1\n", False), "ok", "192.0.2.1"),
        (evaluators.resolver("search example\n", False), "failed", "none"),
        (evaluators.resolver("", True), "not_applicable", "LABCTL_OFFLINE"),
        (evaluators.proxy({}, LAB.subnet), "ok", "none"),
        (evaluators.proxy({"HTTP_PROXY": "http://proxy:3128"}, LAB.subnet), "ok", "http_proxy set"),
        (evaluators.proxy({"https_proxy": "proxy:3128"}, LAB.subnet), "failed", "https_proxy"),
        (evaluators.proxy({"http_proxy": "http://proxy:x"}, LAB.subnet), "failed", "http_proxy"),
        (evaluators.locale("C.UTF-8", "UTF-8"), "ok", "UTF-8"),
        (evaluators.locale("C", "ANSI_X3.4-1968"), "failed", "ANSI"),
        (evaluators.runtime_path("/run/labctl"), "ok", "11 bytes"),
        (evaluators.runtime_path("/run/" + "x" * 80), "failed", "85 bytes"),
        (evaluators.at_least(1, 2, "CPUs", "take more"), "failed", "1 CPUs"),
        (evaluators.at_least(2, 2, "CPUs", ""), "ok", "2 CPUs"),
        (evaluators.stale("lock", []), "ok", "none"),
        (evaluators.stale("lock", ["/a/lock.holder"]), "failed", "/a/lock.holder"),
        (container.evaluate_storage_driver("vfs"), "failed", "vfs"),
        (container.evaluate_storage_driver("overlay2"), "ok", "overlay2"),
    ],
)
def test_an_outcome_says_what_was_found_and_a_failure_names_its_remedy(
    outcome: Outcome, status: str, says: str
) -> None:
    assert outcome.status == status
    assert says in outcome.evidence
    if status == "failed" and outcome.remedy != "":
        assert outcome.expected


def test_a_proxy_with_a_password_is_not_told() -> None:
    outcome = evaluators.proxy({"http_proxy": "http://me:hunter2@proxy:3128", "https_proxy": "me:hunter2@proxy"}, "")
    assert "hunter2" not in f"{outcome}"


def test_controllers_are_read_from_both_hierarchies() -> None:
    v1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t5\t1\nmemory\t0\t5\t0\n"
    assert container.parse_controllers(v1, "pids io\n") == ("cpu", "io", "pids")


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
        buildable=published("not probed: LABCTL_OFFLINE is set"),
    )
    return replace(plain, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observed", "status", "says"),
    [
        (_observed(), "failed", "LABCTL_OFFLINE"),
        (_observed(bundles=(SourceContent("b", "1.20.2"),)), "ok", "1 bundle"),
        (_observed(buildable=published()), "ok", "1.37.2 from the community's repositories"),
        (
            _observed(buildable=(BuildableBundle(SourceContent("b", "1.20.2"), "debian", possible=True),)),
            "ok",
            "can be made here: 1.20.2",
        ),
    ],
)
def test_packages_come_from_the_cache_a_source_or_a_build(observed: Observed, status: str, says: str) -> None:
    outcome = evaluators.package_source(observed)
    assert outcome.status == status
    assert says in outcome.evidence


def test_what_a_lab_takes_follows_from_its_nodes() -> None:
    asked = spec.load(None)
    sizing = Sizing(False, 1000, 2000, 300, 2, memory_control_plane=900, memory_worker=500, memory_bare=100)
    taken = requirements(asked, sizing, offsets(asked.lab))
    assert (taken.nodes, taken.memory, taken.disk, taken.cpus) == (4, 900 + 3 * 500, 4 * 2000 + 1000, 2)
    assert sorted(taken.ports) == [60010, 60101, 60102, 60103]


def test_at_least_forty_checks_run_under_distinct_ids(tmp_path: Path) -> None:
    ids = [check.id for check in workflow.checks_for(spec.load(None))]
    assert len(set(ids)) == len(ids) >= 40
    assert {check.id for check in host_checks(LAB, tmp_path, True)} <= set(ids)


def test_the_reference_lists_exactly_the_checks_of_doctor(golden: Callable[[str, Path], None]) -> None:
    page = Path(__file__).parents[3] / "docs" / "doctor.md"
    head, mark, _ = page.read_text(encoding="utf-8").partition("## Every check\n")
    checks = sorted(workflow.checks_for(spec.load(None)), key=lambda check: check.id)
    rows = [f"| `{check.id}` | {check.title} | {check.severity} |" for check in checks]
    golden(head + mark + "\n".join(["", "| check | looks at | severity |", "|---|---|---|", *rows, ""]), page)


def test_what_only_another_provider_needs_is_not_applicable() -> None:
    named = {check.id: check for check in provider_checks("static", spec.load(None), None)}
    outcomes = {identity: check.evaluate() for identity, check in named.items()}
    assert {outcome.status for outcome in outcomes.values()} == {"not_applicable"}
    assert {"host.br_netfilter", "engine.docker", "host.virtualization", "provider.host_only_range"} <= set(outcomes)
    assert outcomes["engine.docker"].evidence == "the lab's provider is static"


def test_a_check_that_two_providers_share_is_that_of_the_labs_provider() -> None:
    checks = provider_checks("libvirt", spec.load(None), None)
    assert [check.id for check in checks].count("provider.vagrant") == 1
    vagrant = next(check for check in checks if check.id == "provider.vagrant")
    assert vagrant.evaluate().status in ("ok", "failed")


def test_all_run_at_once_and_one_that_hangs_or_breaks_has_a_result_too() -> None:
    both, never = threading.Barrier(2, timeout=5), threading.Event()

    def meets() -> Outcome:
        both.wait()
        return passed("met")

    def hangs() -> Outcome:
        never.wait(30)
        return passed("late")

    checks = [
        HostCheck("a", "A", meets),
        HostCheck("b", "B", meets),
        HostCheck("c", "C", hangs, timeout=0.2),
        HostCheck("d", "D", lambda: passed(str(1 / 0))),
        HostCheck("e", "E", lambda: failed("low", "more", "add"), "warning"),
        HostCheck("f", "F", lambda: not_applicable("no such thing")),
    ]
    began = time.monotonic()
    results = run_host_checks(checks)
    never.set()
    assert time.monotonic() - began < 5
    assert [one.status for one in results] == ["ok", "ok", "error", "error", "warning", "not_applicable"]
    assert "no answer within" in results[2].evidence
    assert "ZeroDivisionError" in results[3].evidence


def test_a_costly_look_is_taken_once_for_all_who_ask() -> None:
    seen: list[int] = []
    once = Once(lambda: seen.append(1) or len(seen))  # type: ignore[func-returns-value]
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


def _result(identity: str, status: str, evidence: str = "x", **more: object) -> Result:
    return Result(identity, "host", "", status, title=identity, evidence=evidence, **more)  # type: ignore[arg-type]


def _report(*results: Result) -> Report:
    return Report("this host", 1_700_000_000.0, 0.5, results, DOCTOR)


def test_a_warning_leaves_the_host_ready_and_a_failure_does_not() -> None:
    assert _report(_result("a", "ok"), _result("b", "warning")).ok
    assert not _report(_result("a", "error")).ok


def test_html_and_junit_can_show_a_host() -> None:
    report = _report(_result("host.cpus", "failed", "1 CPU", expected="2 CPUs", remedy="buy <one>"))
    page = render_html(report)
    assert "1 CPU" in page
    assert "required: 2 CPUs" in page
    assert 'failures="1"' in render_junit(report)


def test_repair_removes_stale_files_only_when_the_user_agrees(tmp_path: Path) -> None:
    file = tmp_path / "lock.holder"
    file.write_text("")
    found = _report(_result("state.locks", "warning", "x", repair=Repair(remove=(str(file),))))
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
    found = _report(
        _result("program.ssh", "failed", "missing", repair=Repair(packages=("openssh-client",))),
        _result("program.ip", "failed", "missing", repair=Repair(packages=("iproute2", "openssh-client"))),
        _result("program.fine", "ok", "there", repair=Repair(packages=("never",))),
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
    found = _report(_result("state.locks", "warning", "x", repair=Repair(remove=(str(tmp_path),))))
    with pytest.raises(HostError) as refused:
        workflow.repair(found, lambda question: True)
    assert str(tmp_path) in refused.value.message
    assert refused.value.fix == f"sudo rm {tmp_path}"


def test_nothing_is_repaired_that_nobody_asked_for() -> None:
    assert not workflow.repair(_report(_result("a.b", "failed", remedy="by hand")), lambda question: True)


@pytest.mark.parametrize(
    ("limit", "in_use", "needed", "status"),
    [(128, 10, 80, "ok"), (128, 48, 80, "ok"), (128, 49, 80, "failed"), (128, 128, 0, "ok")],
)
@pytest.mark.parametrize("unit", ["instances", "watches"])
def test_inotify_is_enough_for_the_nodes_of_a_new_lab(
    unit: str, limit: int, in_use: int, needed: int, status: str
) -> None:
    found = evaluators.inotify(unit, limit, in_use, needed)
    assert found.status == status
    assert (status == "ok") != (f"sudo sysctl -w fs.inotify.max_user_{unit}=512" in found.remedy)


def test_a_folder_that_only_its_owner_may_look_at_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workflow._is_gone(tmp_path / "none")

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert not workflow._is_gone(tmp_path)
