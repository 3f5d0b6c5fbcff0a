"""Ansible action: adapt Calico's published manifest to the lab, and refuse one of another shape.

No module of Ansible edits one document among many of a YAML file. It runs on the controller, where there is a YAML
reader. A filter would not do: the roles of an installed collection reach filters by their full names only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase

# What each encapsulation means in the environment of calico-node, and which backend calico-config names.
ENCAPSULATIONS = {
    "ipip": {"CALICO_IPV4POOL_IPIP": "Always", "CALICO_IPV4POOL_VXLAN": "Never"},
    "vxlan": {"CALICO_IPV4POOL_IPIP": "Never", "CALICO_IPV4POOL_VXLAN": "Always"},
    "none": {"CALICO_IPV4POOL_IPIP": "Never", "CALICO_IPV4POOL_VXLAN": "Never"},
}
BIRD_PROBES = ("-bird-live", "-bird-ready", "--bird-live", "--bird-ready")


class UnknownShapeError(ValueError):
    """The manifest is not built as Calico's manifests are; the text names the document and what it lacks."""


def patch(manifest: str, pod_cidr: str, encapsulation: str, autodetection: str) -> str:
    """The manifest with its IP pool, encapsulation and address detection set.

    Raises UnknownShapeError when the DaemonSet, its container or the ConfigMap is not where it should be:
    a manifest patched in part would give a cluster whose pods cannot reach each other.
    """
    try:
        documents = [document for document in yaml.safe_load_all(manifest) if document]
    except yaml.YAMLError as error:
        raise UnknownShapeError(f"the manifest is not YAML: {error}") from error
    for document in documents:
        # The API server keeps a status of its own: with one in the manifest every apply would change something.
        document.pop("status", None)
    environment = {
        **ENCAPSULATIONS[encapsulation],
        "CALICO_IPV4POOL_CIDR": pod_cidr,
        "IP": "autodetect",
        "IP_AUTODETECTION_METHOD": autodetection,
    }
    node = _container(_only(documents, "DaemonSet", "calico-node"), "calico-node")
    _set_environment(node, environment)
    if encapsulation == "vxlan":
        # VXLAN needs no BGP: BIRD does not run, and a probe of it would never be ready
        config = _only(documents, "ConfigMap", "calico-config")
        if "calico_backend" not in (config.get("data") or {}):
            raise UnknownShapeError("ConfigMap calico-config: no calico_backend")
        config["data"]["calico_backend"] = "vxlan"
        for probe in ("livenessProbe", "readinessProbe"):
            command = node.get(probe, {}).get("exec", {}).get("command")
            if command is None:
                raise UnknownShapeError(f"DaemonSet calico-node: container calico-node has no {probe}.exec.command")
            node[probe]["exec"]["command"] = [word for word in command if word not in BIRD_PROBES]
    return yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True, width=4096)


def _only(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    matching = [
        document
        for document in documents
        if document.get("kind") == kind and (document.get("metadata") or {}).get("name") == name
    ]
    if len(matching) != 1:
        raise UnknownShapeError(f"{kind} {name}: found {len(matching)} times in the manifest, expected once")
    return matching[0]


def _container(workload: dict[str, Any], name: str) -> dict[str, Any]:
    where = f"{workload['kind']} {workload['metadata']['name']}"
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    matching = [container for container in spec.get("containers") or [] if container.get("name") == name]
    if len(matching) != 1:
        raise UnknownShapeError(f"{where}: container {name} found {len(matching)} times, expected once")
    if not isinstance(matching[0].get("env"), list):
        raise UnknownShapeError(f"{where}: container {name} has no env list")
    return matching[0]


def _set_environment(container: dict[str, Any], environment: dict[str, str]) -> None:
    variables: list[dict[str, Any]] = container["env"]
    for name, value in environment.items():
        entry = next((variable for variable in variables if variable.get("name") == name), None)
        if entry is None:
            variables.append({"name": name, "value": value})
        else:
            entry.clear()
            entry.update({"name": name, "value": value})


class ActionModule(ActionBase):
    """Return the adapted manifest as `manifest`; its options are those of `patch`, with `src` and `sha256`."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Ansible's strings carry tags that YAML cannot write
        given = {name: str(value) for name, value in self._task.args.items()}
        manifest = Path(given["src"]).read_text(encoding="utf-8")
        if problem := checksum_problem(manifest, given["sha256"]):
            return {**result, "failed": True, "msg": problem}
        try:
            adapted = patch(manifest, given["pod_cidr"], given["encapsulation"], given["autodetection"])
        except UnknownShapeError as error:
            message = f"calico_manifest: this manifest cannot be adapted to the lab: {error}"
            return {**result, "failed": True, "msg": message}
        return {**result, "changed": False, "manifest": adapted}


def checksum_problem(manifest: str, expected: str) -> str:
    """What is wrong with the manifest's checksum; empty when it is the expected one."""
    actual = hashlib.sha256(manifest.encode()).hexdigest()
    if actual == expected:
        return ""
    return f"calico_manifest_sha256: the manifest has {actual}, expected {expected or 'a known checksum'}"
