"""The files that hold labctl's checks, and the ids that they declare: known without importing pytest or any check."""

from __future__ import annotations

from pathlib import Path

from orchestrator import paths
from orchestrator.checks.declarations import declared_checks
from orchestrator.checks.model import Check

_HERE = Path(__file__).parent
# In the order in which they run: what the probe pods need first is known before they are waited for, and what may take
# longest to settle comes last.
_CLUSTER_FILES = ("control_plane", "kubelets", "dns", "workload", "network", "pods")

REACHABLE = Check("machine.reachable", "SSH opens a root shell", "machine", remedy="labctl start")
"""The check that has no file: connecting to a node evaluates it."""


def check_files(*, with_cluster: bool) -> tuple[Path, ...]:
    """The files that hold checks: of the host, of the machines, of every role, of the cluster."""
    own = [_HERE / "host_checks" / "host.py", *sorted(_HERE.glob("machine_checks/[a-z]*.py"))]
    cluster = [_HERE / "cluster_checks" / f"{name}.py" for name in _CLUSTER_FILES]
    return (*own, *sorted(paths.data("roles").glob("*/tests/test_*.py")), *(cluster if with_cluster else ()))


def ids_by_file() -> dict[Path, frozenset[str]]:
    """The ids of the checks that each of labctl's check files holds."""
    files = check_files(with_cluster=True)
    return {file: frozenset(check.id for check in declared_checks(file).checks.values()) for file in files}
