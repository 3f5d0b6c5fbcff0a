"""VirtualBox whose kernel driver is missing or barred is refused before anything is made, and `auto` passes it by."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from orchestrator.errors import HostError
from orchestrator.observed import ProviderState
from orchestrator.providers import registry
from orchestrator.providers.vagrant import virtualbox, virtualbox_driver
from orchestrator.providers.vagrant.provider import VagrantProvider
from orchestrator.providers.vagrant.virtualbox_driver import driver_problem, evaluate_modules


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux host on which VBoxManage and vagrant are installed and no driver is loaded."""
    for name in ("VBoxManage", "vagrant"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "release", lambda: "6.1.0")
    monkeypatch.setattr(virtualbox_driver, "DRIVER", tmp_path / "vboxdrv")
    monkeypatch.setattr(virtualbox_driver, "FIRMWARE", tmp_path / "efivars")


@pytest.fixture
def state(programs: None) -> ProviderState:
    return states()["virtualbox"]


def states() -> dict[str, ProviderState]:
    return {one.name: one for one in registry.states()}


def test_without_its_driver_virtualbox_is_refused_with_the_way_to_load_it(state: ProviderState) -> None:
    with pytest.raises(HostError, match="kernel driver is not loaded") as refused:
        registry.choose("virtualbox", (state,), None)
    assert refused.value.exit_code == 3
    assert "sudo modprobe vboxdrv" in refused.value.fix


def test_auto_passes_virtualbox_without_its_driver_by_and_says_why(state: ProviderState) -> None:
    name, reason = registry.choose("auto", (state, ProviderState("container", ready=True)), None)
    assert name == "container"
    assert "virtualbox: VirtualBox's kernel driver is not loaded" in reason


def test_in_wsl_the_driver_is_windows_own(programs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "5.15.90.1-microsoft-standard-WSL2")
    assert states()["virtualbox"].ready


def test_a_driver_that_is_there_is_no_obstacle(programs: None, tmp_path: Path) -> None:
    (tmp_path / "vboxdrv").touch()
    assert VagrantProvider(virtualbox.VirtualBox()).obstacle() is None


def test_a_user_without_rights_on_the_driver_is_told_which_group_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, runner = tmp_path / "vboxdrv", tmp_path / "VBoxHeadless"
    driver.touch()
    runner.touch(mode=0o755)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    problem = driver_problem(driver, (runner,), tmp_path)
    assert problem is not None
    assert "this user may not use VirtualBox's kernel driver" in problem.what
    assert "vboxusers" in problem.fix


@pytest.mark.skipif(os.geteuid() != 0, reason="a program of root's takes root")
def test_a_hardened_virtualbox_gets_to_a_driver_of_roots_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, runner = tmp_path / "vboxdrv", tmp_path / "VBoxHeadless"
    driver.touch()
    runner.touch()
    runner.chmod(0o4755)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert driver_problem(driver, (runner,), tmp_path) is None


def test_secure_boot_that_keeps_the_driver_out_is_named(programs: None, tmp_path: Path) -> None:
    variable = tmp_path / "efivars" / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    variable.parent.mkdir()
    variable.write_bytes(b"\6\0\0\0\1")
    problem = VagrantProvider(virtualbox.VirtualBox()).obstacle()
    assert problem is not None
    assert "Secure Boot loads signed drivers only" in problem.what
    assert "mokutil --import" in problem.fix
    variable.write_bytes(b"\6\0\0\0\0")
    problem = VagrantProvider(virtualbox.VirtualBox()).obstacle()
    assert problem is not None
    assert "Secure Boot" not in problem.what


@pytest.mark.parametrize(
    ("module", "value", "status"),
    [("kvm_intel", "Y", "failed"), ("kvm_amd", "Y", "failed"), ("kvm_intel", "N", "ok"), ("other", "Y", "ok")],
)
def test_kvm_that_holds_the_processor_is_told_with_the_way_to_end_that(
    tmp_path: Path, module: str, value: str, status: str
) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / "kvm" / "parameters").mkdir(parents=True)
    (tmp_path / "kvm" / "parameters" / "enable_virt_at_load").write_text(f"{value}\n", encoding="ascii")
    outcome = evaluate_modules(tmp_path)
    assert outcome.status == status
    if status == "failed":
        assert outcome.remedy.startswith(f"sudo modprobe -r {module}")
