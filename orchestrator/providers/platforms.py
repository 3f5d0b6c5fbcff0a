"""What makes machines on which system and processor: docs/adr/0021-macos-and-arm64.md as data."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import Problem
from orchestrator.model import ProviderName
from orchestrator.operating_system import OperatingSystem

_ON_LINUX: Mapping[ProviderName, str] = {
    "container": "container nodes run on the kernel of this host, which has to be Linux; Docker on macOS has its own "
    "in a virtual machine that labctl neither sees nor reaches",
    "libvirt": "libvirt's machines run on Linux only",
}
_OTHER_WAYS = "labctl provision --provider virtualbox, or run labctl on Linux"
_OTHER_PROCESSOR = "run labctl on a machine with an x86_64 processor, or take provider: static with such machines"


def unsupported(provider: ProviderName, system: OperatingSystem) -> Problem | None:
    """Why this provider has no machines on such a system, whatever is installed there; None when it may have."""
    if system.name == "Windows":
        return Problem("labctl runs on Windows in WSL2 only", "this host", "docs/how-to/windows.md")
    if system.is_wsl1 and provider != "static":
        what = "WSL1 has no Linux kernel to run machines or containers on"
        return Problem(what, "this host", "wsl.exe --set-version NAME 2   (wsl.exe -l -v lists the names)")
    if provider == "static":
        return None
    if not system.is_linux and provider in _ON_LINUX:
        fix = _OTHER_WAYS if system.has_amd64 else _OTHER_PROCESSOR
        return Problem(f"{_ON_LINUX[provider]} ({system.title})", "this host", fix)
    if not system.has_amd64:
        what = f"labctl's machines are for x86_64 processors, this host has {system.machine}"
        return Problem(what, "this host", _OTHER_PROCESSOR)
    return None
