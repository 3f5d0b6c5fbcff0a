"""What labctl makes on other systems than the one of these tests, with their data handed in (docs/adr/0021)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator import bundle, host, operating_system, spec
from orchestrator.cli.main import invoke
from orchestrator.errors import HostError
from orchestrator.host import HostNetwork
from orchestrator.lab import planning
from orchestrator.model import ProviderName
from orchestrator.operating_system import OperatingSystem
from orchestrator.providers import registry
from orchestrator.providers.platforms import unsupported
from orchestrator.providers.vagrant import box_build
from orchestrator.verbs import doctor

LINUX = OperatingSystem("Linux", "x86_64", "6.1.0")
ARM_LINUX = OperatingSystem("Linux", "aarch64", "6.1.0")
INTEL_MAC = OperatingSystem("Darwin", "x86_64", "23.6.0")
APPLE_SILICON = OperatingSystem("Darwin", "arm64", "23.6.0")
WSL1 = OperatingSystem("Linux", "x86_64", "4.4.0-19041-Microsoft")
WINDOWS = OperatingSystem("Windows", "AMD64", "10")
SAID = {
    "sysctl": "17179869184\n",
    "vm_stat": "Mach Virtual Memory Statistics: (page size of 4096 bytes)\n"
    "Pages free:                              262144.\nPages active:                           1000000.\n"
    "Pages inactive:                          524288.\nPages speculative:                            0.\n",
    "ifconfig": "lo0: flags=8049<UP,LOOPBACK> mtu 16384\n\tinet 127.0.0.1 netmask 0xff000000\n"
    "en0: flags=8863<UP,BROADCAST> mtu 1500\n\tether a4:83:e7:00:00:01\n"
    "\tinet6 fe80::1%en0 prefixlen 64\n\tinet 192.0.2.17 netmask 0xffffff00 broadcast 192.0.2.255\n"
    "utun3: flags=8051<UP,POINTOPOINT> mtu 1380\n\tinet 10.8.0.2 --> 10.8.0.1 netmask 0xffff0000\n",
}
PRINT = "SHA256:" + "A" * 43
STATIC = f"""
profile: bare
provider: static
network: {{subnet: 192.0.2.0/24}}
workers: {{count: 0}}
static: {{gateway: 192.0.2.17, hosts: [kim@192.0.2.11 {PRINT}]}}
"""


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An Intel Mac: its own programs' output, and none of what only Linux has."""
    monkeypatch.setattr(operating_system, "current", lambda: INTEL_MAC)
    monkeypatch.setattr(host, "_output", lambda argv: SAID.get(argv[0], ""))
    monkeypatch.setattr(host, "_read", lambda path: "")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LABCTL_OFFLINE", "1")


@pytest.mark.parametrize(
    ("provider", "system", "says"),
    [
        ("container", LINUX, None),
        ("virtualbox", LINUX, None),
        ("virtualbox", INTEL_MAC, None),
        ("static", INTEL_MAC, None),
        ("static", APPLE_SILICON, None),
        ("static", ARM_LINUX, None),
        ("static", WSL1, None),
        ("container", INTEL_MAC, "Docker on macOS has its own in a virtual machine"),
        ("libvirt", INTEL_MAC, "libvirt's machines run on Linux only (macOS)"),
        ("container", APPLE_SILICON, "has to be Linux"),
        ("virtualbox", APPLE_SILICON, "for x86_64 processors, this host has arm64"),
        ("container", ARM_LINUX, "this host has aarch64"),
        ("container", WSL1, "WSL1 has no Linux kernel"),
        ("static", WINDOWS, "in WSL2 only"),
    ],
)
def test_a_provider_is_refused_where_it_can_make_nothing(
    provider: ProviderName, system: OperatingSystem, says: str | None
) -> None:
    problem = unsupported(provider, system)
    assert (problem is None) == (says is None)
    if problem and says:
        assert says in problem.what
        assert problem.fix


def test_a_mac_tells_its_memory_cpus_and_networks(mac: None, tmp_path: Path) -> None:
    facts = host.facts(tmp_path)
    assert (facts.memory_total, facts.memory_available) == (16384, 3072)
    assert facts.cpus == os.cpu_count()
    assert facts.networks == (HostNetwork("en0", "192.0.2.0/24"), HostNetwork("utun3", "10.8.0.0/16"))
    assert facts.os_name == "macOS"


def test_containers_on_a_mac_are_refused_before_anything_is_looked_for(mac: None) -> None:
    with pytest.raises(HostError, match="has to be Linux") as refused:
        registry.choose("container", registry.states(), None)
    assert "--provider virtualbox" in refused.value.fix


@pytest.mark.parametrize("system", [INTEL_MAC, ARM_LINUX, APPLE_SILICON])
def test_no_bundle_and_no_box_is_built_on_another_system(
    monkeypatch: pytest.MonkeyPatch, system: OperatingSystem
) -> None:
    monkeypatch.setattr(operating_system, "current", lambda: system)
    problem = bundle.system_problem()
    assert problem
    assert "labctl bundle import FILE" in problem.fix
    assert [one.fix for one in box_build.problems()] == ["labctl box build there, then here: labctl box import FILE"]


def test_doctor_on_a_mac_asks_for_nothing_that_only_linux_has(mac: None) -> None:
    report = doctor.diagnose(spec.parse(STATIC))
    status = {result.id: result.status for result in report.results}
    assert status["host.system"] == "ok"
    linux_only = ("host.ip", "host.inotify_instances", "host.inotify_watches", "host.process_ids", "wsl.version")
    assert {status[name] for name in linux_only} == {"not_applicable"}
    assert "error" not in status.values(), [one for one in report.results if one.status == "error"]


def test_doctor_on_a_mac_looks_for_no_processor_flags_and_no_kernel_driver_of_linux(mac: None) -> None:
    report = doctor.diagnose(spec.parse("provider: virtualbox\nprofile: bare"))
    status = {result.id: result.status for result in report.results}
    assert status["host.virtualization"] == "not_applicable"
    assert status["provider.virtualbox_driver"] == status["provider.virtualization"] == "ok"


def test_a_mac_with_given_machines_lacks_nothing_but_a_bundle_to_import(mac: None) -> None:
    with pytest.raises(HostError) as refused:
        planning.decide(spec.parse(STATIC))
    (problem,) = refused.value.problems
    assert problem.fix.startswith("`labctl bundle import FILE`")
    assert "bundles are built on Linux" in problem.what


def test_windows_itself_is_refused_with_the_way_through_wsl2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operating_system, "current", lambda: WINDOWS)
    assert invoke(["plan"]) == 3
    assert "docs/how-to/windows.md" in capsys.readouterr().err
