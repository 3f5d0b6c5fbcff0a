"""Why a lab of containers could not be made on this host: every reason at once, before anything is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import host, paths
from orchestrator.errors import Problem
from orchestrator.model import Plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.conflicts import folder_problems, overlap_problems, port_problems
from orchestrator.providers.container import engine, node_image
from orchestrator.providers.container import node_spec as spec

if TYPE_CHECKING:
    from docker import APIClient

# What a node writes into its image layer and volumes: packages, images, a cluster's data.
DISK_PER_NODE_MB = {True: 2000, False: 300}
# Nodes seldom use their limit, and Kubernetes on four of them lives in 2 GB; a host with less would only swap.
MEMORY_PER_NODE_MB = {True: 600, False: 100}


def problems(plan: Plan, api: APIClient | None) -> list[Problem]:
    """All reasons; `api` is the engine that runs, None when none does."""
    found: list[Problem] = []
    own: Collection[int] = ()
    holders: Mapping[int, LabIdentity] = {}
    existing, root = 0, paths.cache_dir()
    if api is not None:
        found += [*engine_problems(api.info()), *foreign_objects(plan, api), *kernel_problems(plan)]
        own, holders = own_ports(plan, api), lab_ports(api)
        existing, root = count_existing(plan, api), Path(api.info()["DockerRootDir"])
    elif (obstacle := engine.obstacle()) is not None:
        found.append(Problem(obstacle.message, "this host", obstacle.fix))
    missing = len(plan.nodes) - existing
    if missing and (api is None or not node_image.is_present(api)):
        found += node_image.problems(source=node_image.source_of(plan.source.bundle_id))
    found += folder_problems(plan)
    found += port_problems(plan, own, host.port_is_free, holders)
    found += overlap_problems(plan, host.networks(), own=spec.bridge(plan.uuid))
    found += size_problems(
        nodes=missing,
        with_kubernetes=plan.kubernetes is not None,
        memory_available=host.memory_available(),
        disk_free=host.disk_free(root),
        disk_path=str(root),
    )
    return found


def engine_problems(info: Mapping[str, Any]) -> list[Problem]:
    """What keeps this kind of engine from running systemd nodes, from the answer of `docker info`."""
    options = info.get("SecurityOptions") or []
    userns = "remove userns-remap from /etc/docker/daemon.json and restart Docker"
    table = (
        (
            any("name=rootless" in option for option in options),
            ("this Docker runs rootless; a kubelet needs a rootful one", "Docker", "docker context use default"),
        ),
        (
            any("name=userns" in option for option in options),
            ("this Docker remaps user ids; a kubelet cannot run then", "Docker", userns),
        ),
        (
            info.get("OSType", "linux") != "linux",
            ("this Docker runs Windows containers", "Docker", "switch Docker to Linux containers"),
        ),
        (
            not info.get("MemoryLimit", True),
            ("this kernel has no memory cgroup, which the kubelet needs", "kernel", "boot with cgroup_enable=memory"),
        ),
    )
    return [Problem(*problem) for applies, problem in table if applies]


def kernel_problems(plan: Plan) -> list[Problem]:
    """What a cluster needs of the host's kernel and no node may load; Docker loads it as it starts, mostly."""
    if plan.kubernetes is None or Path("/proc/sys/net/bridge").is_dir():
        return []
    fix = "modprobe br_netfilter; echo br_netfilter > /etc/modules-load.d/br_netfilter.conf"
    return [Problem("the host's kernel has not loaded br_netfilter, which kube-proxy depends on", "this host", fix)]


def size_problems(
    *, nodes: int, with_kubernetes: bool, memory_available: int, disk_free: int, disk_path: str
) -> list[Problem]:
    """Memory and disk (MB) that this many more nodes need and the host does not have."""
    if nodes <= 0:
        return []
    memory, disk = nodes * MEMORY_PER_NODE_MB[with_kubernetes], nodes * DISK_PER_NODE_MB[with_kubernetes]
    found = []
    if memory_available < memory:
        text = f"{memory_available} MB of memory are available, {nodes} nodes use about {memory}"
        found.append(Problem(text, "this host", "end other programs, or set fewer workers (workers.count)"))
    if disk_free < disk:
        text = f"{disk_free} MB are free, {nodes} nodes use about {disk}"
        found.append(Problem(text, disk_path, "free space there, or set fewer workers (workers.count)"))
    return found


def own_ports(plan: Plan, api: APIClient) -> set[int]:
    """Ports on this host that the lab's own running containers forward."""
    containers = api.containers(filters=spec.selector(plan.uuid))
    return {port["PublicPort"] for item in containers for port in item["Ports"] if "PublicPort" in port}


def lab_ports(api: APIClient) -> dict[int, LabIdentity]:
    """Ports on this host that containers of any lab forward, and whose lab it is."""
    containers = [(item["Ports"], spec.lab_of(item["Labels"])) for item in api.containers()]
    return {port["PublicPort"]: lab for ports, lab in containers if lab for port in ports if "PublicPort" in port}


def count_existing(plan: Plan, api: APIClient) -> int:
    """How many of the plan's nodes exist, running or not."""
    names = {node.name for node in plan.nodes}
    listed = api.containers(all=True, filters=spec.selector(plan.uuid))
    return len(names & {item["Labels"].get(spec.NODE) for item in listed})


def is_same_network(plan: Plan, network: Mapping[str, Any]) -> bool:
    """Whether a network as Docker lists it has the plan's subnet and gateway."""
    config = (network.get("IPAM", {}).get("Config") or [{}])[0]
    return bool(config.get("Subnet") == plan.network.subnet and config.get("Gateway") == plan.network.gateway)


def foreign_objects(plan: Plan, api: APIClient) -> list[Problem]:
    """Containers, networks and volumes that have a name of this lab and belong to somebody else."""
    labels: dict[tuple[str, str], Mapping[str, str]] = {}
    for item in api.containers(all=True):
        labels |= {("container", name.strip("/")): item["Labels"] for name in item["Names"] if name.count("/") == 1}
    labels |= {("network", item["Name"]): item["Labels"] for item in api.networks()}
    labels |= {("volume", item["Name"]): item["Labels"] for item in api.volumes()["Volumes"] or ()}
    names = [node.name for node in plan.nodes]
    objects = (
        *(("container", spec.container_name(plan, name)) for name in names),
        ("network", spec.network_name(plan)),
        *(("volume", spec.volume_name(plan, name, volume)) for name in names for volume in spec.VOLUMES),
    )
    found = []
    for kind, name in (one for one in objects if one in labels):
        owner = spec.lab_of(labels[kind, name])
        if owner is None or owner.uuid != plan.uuid:
            whose = f"lab {owner.name} of {owner.owner}" if owner else "somebody else"
            force = "" if kind == "network" else " --force"
            text = f"the {kind} {name} exists and belongs to {whose}; it is left alone"
            fix = f"{engine.docker_command()} {kind} rm{force} {name}   (if it is yours and not needed)"
            found.append(Problem(text, "Docker", fix))
    return found
