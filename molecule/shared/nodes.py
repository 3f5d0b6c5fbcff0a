"""Makes, serves and removes the nodes of a Molecule scenario: `nodes.py create|serve|destroy`.

The nodes are those of a lab that the scenario describes: `platforms` of molecule.yml are its machines (name, groups,
and `flavour: el-stand-in` for a node of the RedHat family), `driver.lab` are keys of lab.yml. So the roles get the very
variables that `labctl provision` gives them. Molecule's environment says which scenario is meant.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from orchestrator import inventory, paths, spec
from orchestrator.errors import LabError
from orchestrator.events import Event, Note, Step
from orchestrator.lab import planning
from orchestrator.lab.host_setup import refuse_problems
from orchestrator.lab.observe import observe
from orchestrator.lab.package_source import serve_source
from orchestrator.lab.state import open_lab, save_plan
from orchestrator.model import NodePlan, Plan
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.container.provider import ContainerProvider

EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
NAME = "molecule-" + os.environ["MOLECULE_SCENARIO_NAME"].replace("_", "-")
DIRECTORY = LabDir.beside(EPHEMERAL / "lab.yml", NAME)
INVENTORY = EPHEMERAL / "inventory" / "lab.yml"
DEFAULTS: dict[str, Any] = {
    "version": 1,
    "name": NAME,
    "provider": "container",
    "network": {"subnet": "auto"},
    "packages": {"source": "bundle"},
    "control_plane": {"cpus": 2, "memory": 2048},
}


def scenario() -> dict[str, Any]:
    """The scenario's configuration, merged with the common one by Molecule."""
    found: dict[str, Any] = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))
    return found


def provider(platforms: list[dict[str, Any]]) -> ContainerProvider:
    """The container provider, told which nodes are not Debian."""
    return ContainerProvider({platform["name"]: platform.get("flavour", "debian") for platform in platforms})


def planned(configuration: dict[str, Any]) -> Plan:
    """The lab that the scenario describes, its machines named as the platforms are."""
    platforms = configuration["platforms"]
    keys = {**DEFAULTS, "workers": {"count": len(platforms) - 1, "cpus": 2, "memory": 1536}}
    for name, value in configuration["driver"].get("lab", {}).items():
        keys[name] = {**keys.get(name, {}), **value}
    (EPHEMERAL / "lab.yml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    asked = spec.load(EPHEMERAL / "lab.yml")
    seen = observe(asked, DIRECTORY)
    # A source without crictl stops kubeadm over containerd, and the scenario of containerd runs no kubeadm.
    with_crictl = replace(seen, bundles=tuple(replace(each, has_crictl=True) for each in seen.bundles))
    plan = planning.decide(asked, with_crictl)

    def named(node: NodePlan, platform: dict[str, Any]) -> NodePlan:
        return replace(node, name=platform["name"], display_name=platform["name"])

    return replace(plan, nodes=tuple(map(named, plan.nodes, platforms)))


def create() -> None:
    """Make the nodes, or the missing ones of them."""
    configuration = scenario()
    # Two scenarios that begin together must not choose the same ports and networks.
    with FileLock(paths.runtime_dir() / "molecule.lock", timeout=300):
        plan = planned(configuration)
        machines = provider(configuration["platforms"])
        try:
            refuse_problems(machines.preflight(plan))
            save_plan(DIRECTORY, plan)
            ssh_access.ensure_node_key(DIRECTORY)
            machines.create(plan, DIRECTORY, say, "create")
        finally:
            machines.close(say, "close")


def serve() -> None:
    """Serve the bundle to the nodes and write the inventory that says so; end when the scenario's state is gone."""
    plan = open_lab(EPHEMERAL / "lab.yml").plan
    machines = provider(scenario()["platforms"])
    with ExitStack() as stack:
        access = stack.enter_context(serve_source(plan, DIRECTORY, say))
        try:
            nodes = machines.nodes(plan)
            capabilities = machines.capabilities()
        finally:
            machines.close(say, "close")
        document = inventory.build(
            plan,
            nodes,
            capabilities,
            access,
            private_key=DIRECTORY.private_key,
            known_hosts=DIRECTORY.known_hosts,
            control_dir=paths.runtime_dir() / plan.uuid[:8],
            node_key=DIRECTORY.node_key,
        )
        fresh = INVENTORY.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(as_file(document)), encoding="utf-8")
        fresh.replace(INVENTORY)
        while DIRECTORY.plan.exists():
            time.sleep(0.5)


def as_file(document: dict[str, Any]) -> dict[str, Any]:
    """A dynamic inventory's document in the shape of an inventory file; becoming root is for testinfra."""
    hosts = document["_meta"]["hostvars"]
    groups = ("control_plane", "workers")
    children = {
        group: {
            "hosts": {host: hosts[host] for host in document[group]["hosts"]},
            "vars": document[group].get("vars", {}),
        }
        for group in groups
    }
    variables = {**document["cluster"]["vars"], "ansible_become": True}
    return {"cluster": {"children": children, "vars": variables}}


def destroy() -> None:
    """Remove whatever there is of the scenario, and end its server."""
    machines = ContainerProvider()
    try:
        for identity in machines.find_labs():
            if identity.name == NAME and identity.owner == str(EPHEMERAL):
                ssh_access.end_connections(identity.uuid)
                machines.destroy(identity, say, "destroy")
    finally:
        machines.close(say, "close")
    INVENTORY.unlink(missing_ok=True)
    shutil.rmtree(DIRECTORY.root.parent, ignore_errors=True)


def say(event: Event) -> None:
    """Tell on stdout, which Ansible shows when something fails."""
    if isinstance(event, Note):
        print(event.text)
    elif isinstance(event, Step) and event.status != "running":
        print(f"{event.node} {event.name} {event.status} {event.detail}".strip())


if __name__ == "__main__":
    try:
        {"create": create, "serve": serve, "destroy": destroy}[sys.argv[1]]()
    except LabError as problem:
        sys.exit("\n".join([problem.message, *map(str, problem.problems), problem.fix]))
