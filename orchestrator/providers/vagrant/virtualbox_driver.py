"""VirtualBox's kernel driver on a Linux host: whether machines could start, and what to do where they could not."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from orchestrator import operating_system
from orchestrator.checks.host import read_text
from orchestrator.checks.model import Outcome, failed, passed
from orchestrator.errors import Problem
from orchestrator.providers.vagrant.output import LOAD_VIRTUALBOX_DRIVER

DRIVER = Path("/dev/vboxdrv")
# Where packages put the program that runs a machine; a hardened one gets to the driver by its set-user-ID bit.
RUNNERS = tuple(
    Path(place, "VBoxHeadless") for place in ("/usr/lib/virtualbox", "/usr/lib64/virtualbox", "/opt/VirtualBox")
)
FIRMWARE = Path("/sys/firmware/efi/efivars")
MODULES = Path("/sys/module")
_ENROL = (
    "sign the modules vboxdrv, vboxnetflt and vboxnetadp with a key that `sudo mokutil --import KEY.der` enrols "
    "(Debian and Ubuntu: dkms does, with /var/lib/dkms/mok.pub), or turn Secure Boot off in the firmware; then "
    "sudo modprobe vboxdrv"
)


def problem() -> Problem | None:
    """What keeps the driver from this user; only Linux shows it as a device, WSL2 has it on Windows."""
    return driver_problem(DRIVER, RUNNERS, FIRMWARE) if is_native() else None


def driver_problem(driver: Path, runners: Sequence[Path], firmware: Path) -> Problem | None:
    """Why no machine could start on a Linux host: the kernel driver is not loaded, or this user has no right to it.

    `firmware` has the variables of UEFI, among which is whether Secure Boot keeps unsigned drivers out.
    """
    if not driver.exists():
        what = f"VirtualBox's kernel driver is not loaded: there is no {driver}"
        if has_secure_boot(firmware):
            return Problem(f"{what}; Secure Boot loads signed drivers only", "VirtualBox", _ENROL)
        return Problem(what, "VirtualBox", LOAD_VIRTUALBOX_DRIVER)
    installed = [runner.stat() for runner in runners if runner.exists()]
    hardened = not installed or any(found.st_uid == 0 and found.st_mode & stat.S_ISUID for found in installed)
    if hardened or os.access(driver, os.R_OK | os.W_OK):
        return None
    what = f"this user may not use VirtualBox's kernel driver {driver}"
    return Problem(what, "VirtualBox", "sudo usermod -aG vboxusers $USER, then log in again")


def has_secure_boot(firmware: Path) -> bool:
    """Whether UEFI's variable SecureBoot is on: four bytes of attributes, then the value."""
    return any(file.read_bytes()[4:5] == b"\1" for file in firmware.glob("SecureBoot-*"))


def evaluate() -> Outcome:
    """The driver as a check."""
    expected, found = "loaded, for this user", problem()
    return failed(found.what, expected, found.fix) if found else passed("usable", expected)


def evaluate_kvm() -> Outcome:
    """Whether KVM leaves the processor's virtualization to VirtualBox."""
    return evaluate_modules(MODULES) if is_native() else passed("not of Linux")


def evaluate_modules(modules: Path) -> Outcome:
    """From Linux 6.12 on a loaded KVM holds VT-x or AMD-V even while no machine of it runs.

    Source: the kernel's parameter kvm.enable_virt_at_load; VirtualBox starts nothing then (VERR_VMX_IN_VMX_ROOT_MODE,
    VERR_SVM_IN_USE).
    """
    expected = "KVM that holds the processor only while it runs machines"
    loaded = next((name for name in ("kvm_intel", "kvm_amd") if (modules / name).exists()), None)
    if loaded is None or read_text(str(modules / "kvm/parameters/enable_virt_at_load")).strip() != "Y":
        return passed("free", expected)
    for_good = "for good: `options kvm enable_virt_at_load=0` in /etc/modprobe.d/kvm.conf"
    return failed(f"the module {loaded} holds it", expected, f"sudo modprobe -r {loaded}   ({for_good})")


def is_native() -> bool:
    """Whether VirtualBox runs machines on this Linux: in WSL2 they are Windows' own."""
    system = operating_system.current()
    return system.is_linux and not system.is_wsl
