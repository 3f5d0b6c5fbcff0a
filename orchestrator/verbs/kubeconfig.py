"""`labctl kubeconfig`: the lab's kubeconfig, by itself or merged into the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab import kubeconfigs, windows
from orchestrator.lab.kubeconfigs import ContextChange
from orchestrator.lab.kubectl import kubeconfig_path
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.windows import WindowsFolder
from orchestrator.lab.yaml_text import load_yaml


@dataclass(frozen=True)
class KubeconfigPath(Result):
    """Where the lab's kubeconfig is."""

    path: Path
    schema = "labctl/kubeconfig/v1"


@dataclass(frozen=True)
class WindowsKubeconfig(Result):
    """The kubeconfig written for kubectl on Windows, the API server in it, and what is left to do there."""

    path: Path
    server: str
    steps: tuple[str, ...]
    schema = "labctl/kubeconfig-windows/v1"


def windows_file(lab: Lab, folder: WindowsFolder) -> WindowsKubeconfig:
    """The file that an export for Windows writes, and what it prints. Raises as `locate`."""
    document = load_yaml(locate(lab).path.read_text(encoding="utf-8"))
    path, server = folder.here / "kubeconfig", str(document["clusters"][0]["cluster"]["server"])
    steps = folder.steps(f"set KUBECONFIG={folder.there / path.name}", "kubectl get nodes")
    if not server.startswith("https://127.0.0.1:"):
        steps.append(f"Windows has to reach {server} itself: this lab has no forward on 127.0.0.1")
    return WindowsKubeconfig(path, server, tuple(steps))


def write_for_windows(lab: Lab, folder: WindowsFolder) -> WindowsKubeconfig:
    """Write the lab's kubeconfig for kubectl on Windows. Raises as `locate`, HostError when it cannot be written."""
    made = windows_file(lab, folder)
    windows.write_text(made.path, locate(lab).path.read_text(encoding="utf-8"))
    return made


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
