"""The subnets and ports that this user's labs have claimed, so that labs planned at the same moment never share one."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from orchestrator import paths
from orchestrator.lab.lock import holder_file
from orchestrator.model import Plan
from orchestrator.paths import LabDir, read_json, write_private

LOCK_SECONDS = 30


@dataclass(frozen=True)
class Claim:
    """What the lab of a state directory has claimed."""

    root: Path
    subnet: str
    ports: tuple[int, ...]

    @property
    def holder(self) -> str:
        """The lab in words."""
        return f"lab {self.root.name} of {self.root.parents[1]}"

    def conflicts_with(self, other: Claim) -> bool:
        """Whether two labs cannot have both."""
        overlaps = ipaddress.IPv4Network(self.subnet).overlaps(ipaddress.IPv4Network(other.subnet))
        return overlaps or bool({*self.ports} & {*other.ports})


def others(directory: LabDir) -> tuple[Claim, ...]:
    """The claims of labs with another state directory than this one."""
    return tuple(claim for claim in _claims() if claim.root != directory.root)


def labs() -> tuple[LabDir, ...]:
    """The state directories of all labs of this user that exist or are being built."""
    return tuple(LabDir(one.root) for one in _claims())


def claim(plan: Plan, directory: LabDir, *, keep: bool) -> bool:
    """Claim the plan's subnet and ports until the lab's state is removed; False when another lab was faster.

    With `keep` the lab has machines there already, and nothing is asked.
    """
    from filelock import FileLock

    own = Claim(directory.root, plan.network.subnet, plan.host_ports)
    with FileLock(paths.cache_dir() / "claims.lock", timeout=LOCK_SECONDS, mode=0o600):
        rest = others(directory)
        if not keep and any(own.conflicts_with(other) for other in rest):
            return False
        body = {str(one.root): {"subnet": one.subnet, "ports": one.ports} for one in (*rest, own)}
        write_private(_file(), json.dumps(body, indent=2) + "\n")
    return True


def _file() -> Path:
    return paths.cache_dir() / "claims.json"


def _claims() -> list[Claim]:
    """The claims of labs that exist or that a command is building."""
    claims = [Claim(Path(root), body["subnet"], tuple(body["ports"])) for root, body in read_json(_file()).items()]
    return [claim for claim in claims if _is_in_use(LabDir(claim.root))]


def _is_in_use(directory: LabDir) -> bool:
    return directory.plan.exists() or directory.plan_copy.exists() or holder_file(directory).exists()
