"""`labctl kubeconfig`: the lab's kubeconfig, by itself or merged into the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab import kubeconfigs
from orchestrator.lab.kubeconfigs import ContextChange
from orchestrator.lab.kubectl import kubeconfig_path
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab


@dataclass(frozen=True)
class KubeconfigPath(Result):
    """Where the lab's kubeconfig is."""

    path: Path
    schema = "labctl/kubeconfig/v1"


def locate(lab: Lab) -> KubeconfigPath:
    """The lab's kubeconfig. Raises SpecError when the lab has none."""
    return KubeconfigPath(kubeconfig_path(lab))


def merge(lab: Lab, into: Path | None, context: str) -> ContextChange:
    """Merge the lab into the user's kubeconfig or the file `into`."""
    return kubeconfigs.merge_context(lab, into or kubeconfigs.user_kubeconfig(), context=context)


def unmerge(lab: Lab, into: Path | None) -> ContextChange:
    """Remove the lab from the user's kubeconfig or the file `into`."""
    return kubeconfigs.unmerge_context(lab, into or kubeconfigs.user_kubeconfig())


def preview(lab: Lab, into: Path | None, context: str, *, merge: bool) -> list[str]:
    """What `merge` or `unmerge` would do."""
    file, name = into or kubeconfigs.user_kubeconfig(), context or lab.plan.name
    return [f"put the context {name} into {file}" if merge else f"remove the context {name} from {file}"]
