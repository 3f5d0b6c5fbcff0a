"""The Vagrant box that a plan's virtual machines start from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A Vagrant box by the name Vagrant knows it by: from a registry in a version, or from a URL with its sha256."""

    name: str
    url: str = ""
    sha256: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version or self.sha256[:12]}"
