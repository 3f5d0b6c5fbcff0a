"""Creates, serves and destroys the nodes of a Molecule scenario: `nodes.py create|serve|destroy`.

The nodes are those of a lab that the scenario describes: `platforms` of molecule.yml are its machines (name, groups,
and `flavour: el-stand-in` for a node of the RedHat family), `driver.lab` are keys of lab.yml. So the roles get the very
variables that `labctl provision` gives them. Molecule's environment names the scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from orchestrator import paths, spec
from orchestrator.errors import LabError
from orchestrator.events import Event, Note, Step
from orchestrator.lab import planning
from orchestrator.lab.host_setup import install_missing_packages, refuse_problems
from orchestrator.lab.inventory import inventory_document
from orchestrator.lab.observe import observe
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.package_source import ensure_registry, ensure_source, serve_source
from orchestrator.lab.state import open_lab, save_plan, save_source_access
from orchestrator.model import NodePlan, Plan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.container.provider import ContainerProvider

EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
NAME = "molecule-" + os.environ["MOLECULE_SCENARIO_NAME"].replace("_", "-")
DIRECTORY = LabDir.beside(EPHEMERAL / "lab.yml", NAME)
# Beside the variables that Molecule writes from molecule.yml; it writes none where an inventory is linked.
INVENTORY = EPHEMERAL / "inventory" / "lab"
DEFAULTS: dict[str, Any] = {
    "version": 1,
    "name": NAME,
    "provider": "container",
    "network": {"subnet": "auto"},
    "packages": {"source": "debian"},
    "control_plane": {"cpus": 2, "memory": 2048},
}


def scenario() -> dict[str, Any]:
    """The scenario's configuration, merged with the common one by Molecule."""
    configuration: dict[str, Any] = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))
    return configuration


def plan_lab(configuration: dict[str, Any]) -> Plan:
    """Plan the lab that the scenario describes, its machines named as the platforms are; prepare the host for it."""
    platforms = configuration["platforms"]
    keys = {**DEFAULTS, "workers": {"count": len(platforms) - 1, "cpus": 2, "memory": 1536}}
    for name, value in configuration["driver"].get("lab", {}).items():
        keys[name] = {**keys.get(name, {}), **value} if isinstance(value, dict) else value
    (EPHEMERAL / "lab.yml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    lab_spec = spec.load(EPHEMERAL / "lab.yml")
    install_missing_packages(lab_spec, lambda _: os.geteuid() == 0, emit)
    observed = observe(lab_spec, DIRECTORY)
    # A source without crictl stops kubeadm over containerd, and the scenario of containerd runs no kubeadm.
    bundles = tuple(replace(bundle, has_crictl=True) for bundle in observed.bundles)
    buildable = tuple(replace(one, content=replace(one.content, has_crictl=True)) for one in observed.buildable)
    # A scenario runs one role, most of them no cluster: three at once would be refused for what they never open.
    plan = planning.decide(lab_spec, replace(observed, bundles=bundles, buildable=buildable, inotify_limit=None))

    def named(node: NodePlan, platform: dict[str, Any]) -> NodePlan:
        return replace(node, name=platform["name"], display_name=platform["name"])

    return replace(plan, nodes=tuple(map(named, plan.nodes, platforms)))


def create() -> None:
    """Create the missing nodes, and before them the bundle that they install from."""
    configuration = scenario()
    flavours = {platform["name"]: platform.get("flavour", "debian") for platform in configuration["platforms"]}
    # Two scenarios that start together must not choose the same ports and networks, nor build one bundle twice.
    with FileLock(paths.cache_dir() / "molecule.lock", timeout=1800, mode=0o600):
        plan = plan_lab(configuration)
        provider = ContainerProvider(flavours)
        try:
            refuse_problems(provider.preflight(plan))
            save_plan(DIRECTORY, plan)
            ensure_source(plan, emit)
            ensure_registry(plan, emit, may_build=True)
            ssh_access.ensure_node_key(DIRECTORY)
            provider.create(plan, DIRECTORY, emit, "create")
        finally:
            provider.close(emit, "close")


def serve() -> None:
    """Serve the bundle to the nodes and write the inventory that names it; end when the scenario's state is gone."""
    lab = open_lab(EPHEMERAL / "lab.yml")
    with serve_source(lab.plan, DIRECTORY, emit) as access:
        save_source_access(DIRECTORY, access)
        complete = INVENTORY.with_suffix(".new")
        document = json.dumps(inventory_document(observe_lab(lab)))
        complete.write_text(f"#!/bin/sh\ncat <<'END'\n{document}\nEND\n", encoding="utf-8")
        complete.chmod(0o700)
        complete.replace(INVENTORY)
        while DIRECTORY.plan.exists():
            time.sleep(0.5)


def destroy() -> None:
    """Remove whatever exists of the scenario, and end its server."""
    provider = ContainerProvider()
    try:
        for identity in provider.find_labs():
            if identity.name == NAME and identity.owner == str(EPHEMERAL):
                ssh_access.end_connections(identity.uuid)
                provider.destroy(identity, emit, "destroy")
    finally:
        provider.close(emit, "close")
    INVENTORY.unlink(missing_ok=True)
    shutil.rmtree(DIRECTORY.root.parent, ignore_errors=True)


def emit(event: Event) -> None:
    """Print an event on stdout, which Ansible shows when something fails."""
    if isinstance(event, Note):
        print(event.text)
    elif isinstance(event, Step) and event.status != "running":
        print(f"{event.node} {event.name} {event.status} {event.detail}".strip())


if __name__ == "__main__":
    try:
        {"create": create, "serve": serve, "destroy": destroy}[sys.argv[1]]()
    except LabError as problem:
        sys.exit("\n".join([problem.message, *map(str, problem.problems), problem.fix]))
