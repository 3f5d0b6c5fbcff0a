"""What a lab needs of Windows when its Linux is WSL: the version, systemd, cgroups, memory, and the way to 127.0.0.1.

Sources: Microsoft's pages on wsl.conf, .wslconfig and networking in WSL. Read up: no such host was there to try it on.
"""

from __future__ import annotations

import configparser
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator import host, operating_system, proc
from orchestrator.checks.host import PROGRAM_SECONDS, HostCheck, Once
from orchestrator.checks.model import Outcome, failed, not_applicable, passed
from orchestrator.model import CgroupMode
from orchestrator.operating_system import OperatingSystem

Settings = Mapping[str, str]

RESTART = "then in Windows: wsl.exe --shutdown"
CONFIG = r"%UserProfile%\.wslconfig"
# cmd.exe refuses to start in a folder of Linux.
WINDOWS_DRIVE = Path("/mnt/c")
_WITHOUT_FORWARD = ("none", "bridged")


def checks(memory_needed: int) -> tuple[HostCheck, ...]:
    """The checks of a Linux that is Windows' own, not applicable on any other; `memory_needed` in MB."""
    settings = Once(lambda: parse_settings(_config_text()))

    def in_wsl(evaluate: Callable[[OperatingSystem], Outcome]) -> Callable[[], Outcome]:
        system = operating_system.current()
        return lambda: evaluate(system) if system.is_wsl else not_applicable("this is not WSL")

    return (
        HostCheck("wsl.version", "Version of WSL", in_wsl(evaluate_version)),
        HostCheck(
            "wsl.systemd", "systemd in WSL", in_wsl(lambda _: evaluate_systemd(host.has_service_manager())), "warning"
        ),
        HostCheck("wsl.cgroup", "cgroups in WSL", in_wsl(lambda _: evaluate_cgroup(host.cgroup_mode())), "warning"),
        HostCheck(
            "wsl.memory",
            "Memory that Windows gives to WSL",
            in_wsl(lambda _: evaluate_memory(host.memory().get("MemTotal", 0), memory_needed, settings())),
            "warning",
        ),
        HostCheck(
            "wsl.forwarding", "127.0.0.1 from Windows", in_wsl(lambda _: evaluate_forwarding(settings())), "warning"
        ),
    )


def parse_settings(text: str | None) -> Settings | None:
    """The section [wsl2] of a .wslconfig, keys in small letters; None when the file could not be looked for."""
    if text is None:
        return None
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string(text.lstrip("\ufeff"))
    except configparser.Error:
        return {}
    return {key: value or "" for key, value in parser.items("wsl2")} if parser.has_section("wsl2") else {}


def evaluate_version(system: OperatingSystem) -> Outcome:
    """Whether it is WSL2: WSL1 has no Linux kernel."""
    if system.is_wsl1:
        return failed("WSL1", "WSL2", "in Windows: wsl.exe --set-version NAME 2   (wsl.exe -l -v lists the names)")
    return passed("WSL2", "WSL2")


def evaluate_systemd(runs: bool) -> Outcome:
    """Whether systemd runs, without which no service such as Docker starts by itself."""
    if runs:
        return passed("runs", "runs")
    remedy = f"put the lines [boot] and systemd=true into /etc/wsl.conf, {RESTART}"
    return failed("off: only root can start Docker, and labctl ends it with the last lab", "runs", remedy)


def evaluate_cgroup(mode: CgroupMode) -> Outcome:
    """Whether the controllers are on the unified hierarchy, as the kubelet of 1.35 and later insists on."""
    if mode == "v2":
        return passed("v2", "v2")
    remedy = f"put kernelCommandLine=cgroup_no_v1=all under [wsl2] into {CONFIG}, {RESTART}"
    return failed("v1; labctl tells the kubelet to bear it", "v2", remedy)


def evaluate_memory(total: int, needed: int, settings: Settings | None) -> Outcome:
    """Whether WSL has the memory of the lab, in MB; Windows gives it half unless told otherwise."""
    limit = (settings or {}).get("memory", "")
    source = f"memory={limit} in .wslconfig" if limit else "Windows' default, half of its memory"
    text, expected = f"{total} MB ({source})", f"{needed} MB"
    if total >= needed:
        return passed(text, expected)
    remedy = f"put memory={-(-needed // 1024) + 1}GB under [wsl2] into {CONFIG}, {RESTART}"
    return failed(text, expected, remedy)


def evaluate_forwarding(settings: Settings | None) -> Outcome:
    """Whether programs of Windows reach the forwards of a lab on 127.0.0.1."""
    expected = "the ports of the lab on Windows' 127.0.0.1"
    if settings is None:
        return not_applicable(f"{CONFIG} was not found from here")
    mode = settings.get("networkingmode", "nat").lower()
    if mode == "mirrored":
        return passed("networkingMode=mirrored", expected)
    if mode in _WITHOUT_FORWARD:
        remedy = f"put networkingMode=mirrored (Windows 11) or nat under [wsl2] into {CONFIG}, {RESTART}"
        return failed(f"networkingMode={mode} in .wslconfig", expected, remedy)
    if settings.get("localhostforwarding", "true").lower() in ("false", "0"):
        remedy = f"take localhostForwarding=false out of {CONFIG}, {RESTART}"
        return failed("localhostForwarding=false in .wslconfig", expected, remedy)
    return passed("localhostForwarding is on", expected)


def _config_text() -> str | None:
    """The text of .wslconfig, empty without one; None when Windows does not tell its user's folder."""
    command = shutil.which("cmd.exe") or "/mnt/c/Windows/System32/cmd.exe"
    try:
        said = proc.run([command, "/c", "echo %USERPROFILE%"], check=False, timeout=PROGRAM_SECONDS, cwd=WINDOWS_DRIVE)
        folder = proc.run(["wslpath", "-u", said.stdout.strip()], check=False, timeout=PROGRAM_SECONDS)
    except (OSError, proc.ProcessFailed):
        return None
    if not (said.ok and folder.ok):
        return None
    file = Path(folder.stdout.strip(), ".wslconfig")
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
