"""Which operating system labctl runs on: the one place that asks, so that a test can answer for another one."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class OperatingSystem:
    """A system by its name (Linux, Darwin, Windows), processor and kernel release, as `uname` has them."""

    name: str
    machine: str
    release: str = ""

    @property
    def is_linux(self) -> bool:
        return self.name == "Linux"

    @property
    def is_macos(self) -> bool:
        return self.name == "Darwin"

    @property
    def is_wsl(self) -> bool:
        """Whether this Linux is Windows' own: `4.4.0-19041-Microsoft` (WSL1), `5.15.90.1-microsoft-standard-WSL2`."""
        return self.is_linux and "microsoft" in self.release.lower()

    @property
    def is_wsl1(self) -> bool:
        return self.is_wsl and "-Microsoft" in self.release

    @property
    def has_amd64(self) -> bool:
        """Whether its processor is what labctl's machines are made for."""
        return self.machine in ("x86_64", "AMD64")

    @property
    def title(self) -> str:
        """Its name for people."""
        return {"Darwin": "macOS", "": "an unknown system"}.get(self.name, self.name)


def current() -> OperatingSystem:
    """The system of this process."""
    return OperatingSystem(platform.system(), platform.machine(), platform.release())
