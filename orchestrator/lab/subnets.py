"""The subnets that this user's labs have claimed, so that two labs planned at the same moment never take the same."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from orchestrator import paths
from orchestrator.lab.lock import holder_file
from orchestrator.model import Plan, TakenNetwork
from orchestrator.paths import LabDir, read_json, write_private

LOCK_SECONDS = 30


def others(directory: LabDir) -> tuple[TakenNetwork, ...]:
    """The subnets of labs with another state directory than this one."""
    return tuple(
        TakenNetwork(cidr, f"lab {Path(root).name} of {Path(root).parents[1]}", Path(root).name)
        for root, cidr in _claims().items()
        if root != str(directory.root)
    )


def claim(plan: Plan, directory: LabDir, *, keep: bool) -> bool:
    """Claim the plan's subnet until the lab's state is removed; False when another lab has claimed it meanwhile.

    With `keep` the lab has machines on it already, and nothing is asked.
    """
    from filelock import FileLock

    subnet = ipaddress.IPv4Network(plan.network.subnet)
    with FileLock(paths.cache_dir() / "subnets.lock", timeout=LOCK_SECONDS, mode=0o600):
        if not keep and any(subnet.overlaps(ipaddress.IPv4Network(one.cidr)) for one in others(directory)):
            return False
        claims = {**_claims(), str(directory.root): str(subnet)}
        write_private(_file(), json.dumps(claims, indent=2) + "\n")
    return True


def _file() -> Path:
    return paths.cache_dir() / "subnets.json"


def _claims() -> dict[str, str]:
    """State directory -> subnet, of labs that exist or that a command is building."""
    claims = read_json(_file())
    return {root: cidr for root, cidr in claims.items() if _is_in_use(LabDir(Path(root)))}


def _is_in_use(directory: LabDir) -> bool:
    return directory.plan.exists() or directory.plan_copy.exists() or holder_file(directory).exists()
