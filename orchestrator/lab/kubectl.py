"""kubectl on a lab's cluster: its program, its kubeconfig, and where the API server is reached."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator import proc
from orchestrator.errors import HostError, ProviderError, SpecError
from orchestrator.lab.package_source import planned_bundle
from orchestrator.lab.state import Lab
from orchestrator.lab.yaml_text import dump_yaml, load_yaml
from orchestrator.model import Node, Plan
from orchestrator.paths import LabDir, replacing, write_private
from orchestrator.providers import ssh_access


def fetch_kubeconfig(plan: Plan, directory: LabDir, nodes: Sequence[Node]) -> None:
    """Copy the administrator's kubeconfig from the control plane, pointed at where this host reaches it; mode 0600.

    The API server's certificate names 127.0.0.1, so that TLS is verified.
    """
    node = next(node for node in nodes if node.name == plan.control_plane.name)
    argv = ssh_access.ssh_argv(directory, node, command=("sudo", "cat", "/etc/kubernetes/admin.conf"))
    try:
        text = proc.run(argv, timeout=30).stdout
    except proc.ProcessFailed as problem:
        raise ProviderError(
            f"{node.name}: cannot read /etc/kubernetes/admin.conf: {problem}", fix="labctl provision"
        ) from None
    document = load_yaml(text)
    for entry in document["clusters"]:
        entry["cluster"]["server"] = api_server_url(plan, node)
    write_private(directory.kubeconfig, dump_yaml(document))


def api_server_url(plan: Plan, control_plane: Node) -> str:
    """The URL of the API server: the forward on 127.0.0.1, or the node that this host reaches directly.

    A machine that is reached at its own address needs no forward: libvirt's would be an ssh process that ends with
    the machine's first reboot. The certificate names both.
    """
    assert plan.kubernetes is not None
    if control_plane.ssh_host == plan.control_plane.address:
        return f"https://{plan.control_plane.address}:6443"
    return f"https://127.0.0.1:{plan.kubernetes.api_port}"


def install_kubectl(plan: Plan, directory: LabDir) -> None:
    """Put the bundle's kubectl, which has the cluster's own version, beside the lab's kubeconfig."""
    if not plan.source.bundle_id:
        return
    source = planned_bundle(plan).kubectl
    target = directory.bin / "kubectl"
    if source.exists() and not (target.exists() and filecmp.cmp(source, target, shallow=False)):
        with source.open("rb") as program, replacing(target, 0o755) as stream:
            shutil.copyfileobj(program, stream)


def kubeconfig_path(lab: Lab) -> Path:
    """The lab's kubeconfig. Raises SpecError when the lab has none."""
    if lab.plan.kubernetes is None:
        raise SpecError(f"{lab.plan.name} has no Kubernetes (profile {lab.plan.profile})", fix="labctl ssh NODE")
    if not lab.directory.kubeconfig.exists():
        raise SpecError(f"the cluster of {lab.plan.name} is not up yet", fix="labctl provision")
    return lab.directory.kubeconfig


def run_kubectl(lab: Lab, *arguments: str, timeout: float = 20.0, check: bool = True) -> proc.Result:
    """The result of kubectl on the lab's cluster; a request ends after 5 s unless an argument says otherwise.

    Raises SpecError for a lab without a cluster, ProcessFailed after `timeout` seconds and, when `check`, for an exit
    code other than 0.
    """
    argv = [*kubectl_argv(lab), "--request-timeout=5s", *arguments]
    return proc.run(argv, check=check, timeout=timeout, env=kubectl_environment(lab))


def read_objects(lab: Lab, *kind: str) -> tuple[list[dict[str, Any]], str]:
    """The cluster's objects of a kind, with kubectl's options for `get`; or none, and why they cannot be told.

    Raises SpecError for a lab without a cluster, HostError for a host without kubectl.
    """
    try:
        answer = run_kubectl(lab, "get", *kind, "-o", "json")
    except proc.ProcessFailed as problem:
        return [], f"the API server does not answer: {problem.result.tail}"
    try:
        return items_of(answer.stdout), ""
    except ValueError as problem:
        return [], f"the API server's answer makes no sense: {problem}"


def items_of(text: str) -> list[dict[str, Any]]:
    """The objects of a list as kubectl prints it in JSON, each with a name; raises ValueError for anything else."""
    try:
        items = [dict(item) for item in json.loads(text)["items"]]
        if all(isinstance(item["metadata"]["name"], str) for item in items):
            return items
    except (KeyError, TypeError, RecursionError):
        pass
    raise ValueError(f"no list of objects: {text[:60]!r}")


def kubectl_argv(lab: Lab) -> tuple[str, ...]:
    """The lab's own kubectl, else the one on PATH, with its discovery cache in the lab's state instead of ~/.kube."""
    own = lab.directory.bin / "kubectl"
    program = str(own) if own.exists() else shutil.which("kubectl")
    if program is None:
        fix = f"install kubectl, or: labctl ssh {lab.plan.control_plane.name} -- kubectl get nodes"
        raise HostError("this host has no kubectl", fix=fix)
    return (program, f"--cache-dir={lab.directory.root / 'kubectl-cache'}")


def kubectl_environment(lab: Lab) -> dict[str, str]:
    """What kubectl needs in its environment to reach the lab's cluster."""
    return {"KUBECONFIG": str(kubeconfig_path(lab))}
