"""kubectl on a lab's cluster: its program, its kubeconfig, and where the API server is reached."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrator import proc
from orchestrator.errors import LabError, ProviderError, SpecError
from orchestrator.lab.package_source import planned_bundle
from orchestrator.lab.state import Lab
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir, write_private
from orchestrator.providers import ssh_access


def fetch_kubeconfig(plan: Plan, directory: LabDir, nodes: Sequence[Node]) -> None:
    """Copy the administrator's kubeconfig from the control plane, pointed at where this host reaches it; mode 0600.

    The API server's certificate names 127.0.0.1 from the start, so TLS is checked as ever.
    """
    from ruamel.yaml import YAML

    node = next(node for node in nodes if node.name == plan.control_plane.name)
    argv = ssh_access.ssh_argv(directory, node, command=("sudo", "cat", "/etc/kubernetes/admin.conf"))
    try:
        text = proc.run(argv, timeout=30).stdout
    except proc.ProcessFailed as problem:
        raise ProviderError(
            f"{node.name}: cannot read /etc/kubernetes/admin.conf: {problem}", fix="labctl provision"
        ) from None
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load(text)
    assert plan.kubernetes is not None
    for entry in document["clusters"]:
        entry["cluster"]["server"] = api_server_url(plan, node)
    out = io.StringIO()
    yaml.default_flow_style = False
    # kubectl writes keys on one line, and so do we: people search and cut them.
    yaml.width = 1_000_000
    yaml.dump(document, out)
    write_private(directory.kubeconfig, out.getvalue())


def api_server_url(plan: Plan, control_plane: Node) -> str:
    """Where this host reaches the API server: the forward on 127.0.0.1, or the node where it is reached directly.

    A machine that is reached at its own address needs no forward (libvirt's would be an ssh process that ends
    with the machine's first reboot); the certificate names both.
    """
    assert plan.kubernetes is not None
    if control_plane.ssh_host == plan.control_plane.address:
        return f"https://{plan.control_plane.address}:6443"
    return f"https://127.0.0.1:{plan.kubernetes.api_port}"


def install_kubectl(plan: Plan, directory: LabDir) -> None:
    """Put the bundle's kubectl, which has the cluster's own version, beside the lab's kubeconfig."""
    if plan.source.kind != "bundle" or not plan.source.bundle_id:
        return
    source = planned_bundle(plan).kubectl
    target = directory.bin / "kubectl"
    if source.exists() and not (target.exists() and target.stat().st_size == source.stat().st_size):
        fresh = target.with_suffix(".new")
        shutil.copyfile(source, fresh)
        fresh.chmod(0o755)
        fresh.replace(target)


def kubeconfig_path(lab: Lab) -> Path:
    """The lab's kubeconfig. Raises SpecError when the lab has none."""
    if lab.plan.kubernetes is None:
        raise SpecError(f"{lab.plan.name} has no Kubernetes (profile {lab.plan.profile})", fix="labctl ssh NODE")
    if not lab.directory.kubeconfig.exists():
        raise SpecError(f"the cluster of {lab.plan.name} is not up yet", fix="labctl provision")
    return lab.directory.kubeconfig


def kubectl_program(lab: Lab) -> str:
    """The kubectl to use: the lab's own, else the one on PATH."""
    own = lab.directory.bin / "kubectl"
    if own.exists():
        return str(own)
    found = shutil.which("kubectl")
    if found is None:
        raise LabError(
            "there is no kubectl on this host", fix="install kubectl, or: labctl ssh m-k8s -- kubectl get nodes"
        )
    return found


def kubectl_argv(lab: Lab) -> tuple[str, ...]:
    """kubectl with its discovery cache in the lab's state, where it goes with the lab and not into ~/.kube."""
    return (kubectl_program(lab), f"--cache-dir={lab.directory.root / 'kubectl-cache'}")


def exec_kubectl(lab: Lab, arguments: Sequence[str]) -> None:
    """Replace this process by kubectl on this lab's cluster."""
    argv = (*kubectl_argv(lab), *arguments)
    proc.replace(argv, env={"KUBECONFIG": str(kubeconfig_path(lab)), "PATH": os.environ.get("PATH", os.defpath)})
