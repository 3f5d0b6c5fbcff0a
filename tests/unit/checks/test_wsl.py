"""`labctl doctor` in WSL, with what Windows' files and kernels look like handed in: no such host is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import operating_system
from orchestrator.checks.model import Outcome
from orchestrator.doctor import wsl
from orchestrator.operating_system import OperatingSystem

WSL1 = OperatingSystem("Linux", "x86_64", "4.4.0-19041-Microsoft")
WSL2 = OperatingSystem("Linux", "x86_64", "5.15.90.1-microsoft-standard-WSL2")


@pytest.mark.parametrize(
    ("outcome", "status", "says", "remedy"),
    [
        (wsl.evaluate_version(WSL2), "ok", "WSL2", ""),
        (wsl.evaluate_version(WSL1), "failed", "WSL1", "wsl.exe --set-version NAME 2"),
        (wsl.evaluate_systemd(True), "ok", "runs", ""),
        (wsl.evaluate_systemd(False), "failed", "off", "systemd=true into /etc/wsl.conf"),
        (wsl.evaluate_cgroup("v2"), "ok", "v2", ""),
        (wsl.evaluate_cgroup("v1"), "failed", "v1", "kernelCommandLine=cgroup_no_v1=all"),
        (wsl.evaluate_memory(8000, 7000, {}), "ok", "8000 MB (Windows' default, half of its memory)", ""),
        (wsl.evaluate_memory(3900, 7000, {"memory": "4GB"}), "failed", "memory=4GB in .wslconfig", "memory=8GB under"),
        (wsl.evaluate_memory(3900, 7000, None), "failed", "half of its memory", "then in Windows: wsl.exe --shutdown"),
        (wsl.evaluate_forwarding({}), "ok", "localhostForwarding is on", ""),
        (wsl.evaluate_forwarding({"localhostforwarding": "false"}), "failed", "localhostForwarding=false", "out of"),
        (
            wsl.evaluate_forwarding({"networkingmode": "None"}),
            "failed",
            "networkingMode=none",
            "networkingMode=mirrored",
        ),
        (
            wsl.evaluate_forwarding({"networkingmode": "mirrored", "localhostforwarding": "false"}),
            "ok",
            "networkingMode=mirrored",
            "",
        ),
        (wsl.evaluate_forwarding(None), "not_applicable", "was not found", ""),
    ],
)
def test_each_outcome_in_wsl_names_its_remedy(outcome: Outcome, status: str, says: str, remedy: str) -> None:
    assert outcome.status == status
    assert says in outcome.evidence
    assert remedy in outcome.remedy
    assert bool(outcome.remedy) == (status == "failed")


def test_settings_are_those_of_wsl2_whatever_windows_wrote_around_them() -> None:
    text = "\ufeff[experimental]\r\nmemory=1GB\r\n[wsl2]\r\n# half\r\nMemory=6GB\r\nlocalhostForwarding=False\r\n"
    assert wsl.parse_settings(text) == {"memory": "6GB", "localhostforwarding": "False"}


@pytest.mark.parametrize("text", ["", "[wsl2", "memory=6GB", "\x00\xff"])
def test_a_file_without_settings_or_of_garbage_sets_nothing(text: str) -> None:
    assert wsl.parse_settings(text) == {}


def test_without_a_windows_that_answers_no_file_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wsl._config_text() is None


def test_the_file_is_found_through_windows_own_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, said in (("cmd.exe", r"C:\Users\Kim\r"), ("wslpath", str(tmp_path))):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".wslconfig").write_text("[wsl2]\r\nmemory=4GB\r\n", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(wsl, "WINDOWS_DRIVE", tmp_path)
    assert wsl.parse_settings(wsl._config_text()) == {"memory": "4GB"}


def test_outside_wsl_none_of_its_checks_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating_system, "current", lambda: OperatingSystem("Linux", "x86_64", "6.1.0-13-amd64"))
    assert {check.evaluate().status for check in wsl.checks(1000)} == {"not_applicable"}


def test_in_wsl_every_one_of_its_checks_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating_system, "current", lambda: WSL1)
    monkeypatch.setattr(wsl, "_config_text", lambda: "[wsl2]\nlocalhostForwarding=false\n")
    outcomes = {check.id: check.evaluate() for check in wsl.checks(2**20)}
    assert {outcome.status for outcome in outcomes.values()} <= {"ok", "failed"}
    assert {name for name, outcome in outcomes.items() if outcome.status == "failed"} >= {
        "wsl.version", "wsl.memory", "wsl.forwarding",
    }  # fmt: skip
