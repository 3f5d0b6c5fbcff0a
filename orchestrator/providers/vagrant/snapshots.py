"""Snapshots of virtual machines: Vagrant's own, of all machines while they are off, so that they are one moment."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.errors import ProviderError
from orchestrator.model import Plan
from orchestrator.providers.vagrant.hypervisor import Machine

# Whatever else is called differently: a user's own snapshots are never touched.
PREFIX = "labctl."


def names_in(listing: str) -> list[str]:
    """The names in the machine-readable output of `vagrant snapshot list`; Vagrant prints them as detail lines."""
    found = []
    for line in listing.splitlines():
        fields = line.split(",", 4)
        if len(fields) == 5 and fields[2] == "ui" and fields[3] in ("detail", "output"):
            found.append(fields[4].rpartition(": ")[2].strip())
    return [name for name in found if name and not name.startswith("==>")]


def unkept(names: Collection[str], kept: Collection[str]) -> list[str]:
    """Those of the snapshots that labctl made and nobody keeps."""
    return sorted(name for name in names if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in kept)


def refuse_other_machines(plan: Plan, there: Collection[Machine]) -> None:
    """Raise ProviderError when a machine of the snapshot is gone: its snapshot went with its disk."""
    names = {machine.node for machine in there}
    if gone := [node.name for node in plan.nodes if node.name not in names]:
        raise ProviderError(
            f"{', '.join(gone)} was removed since, and its part of the snapshot with it", fix="labctl snapshot list"
        )
