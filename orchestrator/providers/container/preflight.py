"""Why a lab of containers could not be made on this host: every reason at once, before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import host, paths
from orchestrator.errors import Problem
from orchestrator.model import Plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.container import engine, node_image
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.networks import overlap_problems

if TYPE_CHECKING:
    from docker import APIClient

# What a node writes into its image layer and volumes: packages, images, a cluster's data.
DISK_PER_NODE_MB = {True: 2000, False: 300}
# Nodes seldom use their limit, and Kubernetes on four of them lives in 2 GB; a host with less would only swap.
MEMORY_PER_NODE_MB = {True: 600, False: 100}


def problems(plan: Plan, api: APIClient | None) -> list[Problem]:
    """All reasons; `api` is the engine that runs, None when none does."""
    found: list[Problem] = []
    if api is None and (obstacle := engine.obstacle()) is not None:
        found.append(Problem(obstacle.message, "this host", obstacle.fix))
    if api is not None:
        found += engine_problems(api.info())
        found += foreign_objects(plan, api)
    lacking = len(plan.nodes) - (made_nodes(plan, api) if api is not None else 0)
    if lacking and (api is None or not node_image.present(api)):
        found += node_image.problems()
    own = own_ports(plan, api) if api is not None else set()
    found += port_problems(plan, own, host.port_is_free, lab_ports(api) if api is not None else {})
    if api is not None:
        found += kernel_problems(plan)
    found += overlap_problems(plan, host.networks(), own=spec.bridge(plan.uuid))
    root = data_root(api)
    with_kubernetes = plan.kubernetes is not None
    memory = host.parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii"))
    found += size_problems(
        nodes=lacking,
        with_kubernetes=with_kubernetes,
        memory_available=memory.get("MemAvailable", 0),
        disk_free=host.disk_free(root),
        disk_path=str(root),
    )
    return found


def data_root(api: APIClient | None) -> Path:
    """Where the engine keeps containers and volumes."""
    return Path(api.info()["DockerRootDir"]) if api is not None else paths.cache_dir()


def engine_problems(info: Mapping[str, Any]) -> list[Problem]:
    """What keeps this kind of engine from running systemd nodes, from the answer of `docker info`."""
    found = []
    options = info.get("SecurityOptions") or []
    if any("name=rootless" in option for option in options):
        found.append(
            Problem("this Docker runs rootless; a kubelet needs a rootful one", "Docker", "docker context use default")
        )
    if any("name=userns" in option for option in options):
        fix = "remove userns-remap from /etc/docker/daemon.json and restart Docker"
        found.append(Problem("this Docker remaps user ids; a kubelet cannot run then", "Docker", fix))
    if info.get("OSType", "linux") != "linux":
        found.append(Problem("this Docker runs Windows containers", "Docker", "switch Docker to Linux containers"))
    if not info.get("MemoryLimit", True):
        found.append(
            Problem(
                "this kernel has no memory cgroup, which the kubelet needs", "kernel", "boot with cgroup_enable=memory"
            )
        )
    return found


def kernel_problems(plan: Plan) -> list[Problem]:
    """What a cluster needs of the host's kernel and no node may load; Docker loads it as it starts, mostly."""
    if plan.kubernetes is None or Path("/proc/sys/net/bridge").is_dir():
        return []
    fix = "modprobe br_netfilter; echo br_netfilter > /etc/modules-load.d/br_netfilter.conf"
    return [Problem("the host's kernel has not loaded br_netfilter, which kube-proxy depends on", "this host", fix)]


def port_problems(
    plan: Plan, own: Collection[int], is_free: Callable[[int], bool], holders: Mapping[int, LabIdentity]
) -> list[Problem]:
    """Forwards of the plan that somebody else holds on 127.0.0.1; `holders` are the labs known to have a port."""
    wanted = [(node.ssh_port, f"SSH of {node.name}") for node in plan.nodes]
    if plan.kubernetes:
        wanted.append((plan.kubernetes.api_port, "the API server"))
    found = []
    for port, what in wanted:
        if port in own or is_free(port):
            continue
        where = "network.ssh_port_base" if what.startswith("SSH") else "kubernetes.api_port"
        text = f"port {port} on 127.0.0.1, the forward to {what}, is in use"
        fix = f"ss -ltnp 'sport = :{port}' names the program; or choose other ports in lab.yml"
        if lab := holders.get(port):
            text = f"{text} by lab {lab.name} of {lab.owner}"
            fix = f"choose other ports in lab.yml, or remove that lab: labctl destroy --id {lab.uuid}"
        found.append(Problem(text, where, fix))
    return found


def size_problems(
    *, nodes: int, with_kubernetes: bool, memory_available: int, disk_free: int, disk_path: str
) -> list[Problem]:
    """Memory and disk (MB) that this many more nodes need and the host does not have."""
    if nodes <= 0:
        return []
    found = []
    memory = nodes * MEMORY_PER_NODE_MB[with_kubernetes]
    disk = nodes * DISK_PER_NODE_MB[with_kubernetes]
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


def made_nodes(plan: Plan, api: APIClient) -> int:
    """How many of the plan's nodes there are already, running or not."""
    names = {node.name for node in plan.nodes}
    listed = api.containers(all=True, filters=spec.selector(plan.uuid))
    return len(names & {item["Labels"].get(spec.NODE) for item in listed})


def same_network(plan: Plan, network: Mapping[str, Any]) -> bool:
    """Whether a network as Docker lists it has the plan's subnet and gateway."""
    config = (network.get("IPAM", {}).get("Config") or [{}])[0]
    return bool(config.get("Subnet") == plan.network.subnet and config.get("Gateway") == plan.network.gateway)


def foreign_objects(plan: Plan, api: APIClient) -> list[Problem]:
    """Containers, networks and volumes that have a name of this lab and belong to somebody else."""
    containers = {
        name.strip("/"): item["Labels"]
        for item in api.containers(all=True)
        for name in item["Names"]
        if name.count("/") == 1
    }
    networks = {item["Name"]: item["Labels"] for item in api.networks()}
    volumes = {item["Name"]: item["Labels"] for item in api.volumes()["Volumes"] or ()}
    names = [node.name for node in plan.nodes]
    wanted: Sequence[tuple[str, str, Mapping[str, Any]]] = (
        *(("container", spec.container_name(plan, name), containers) for name in names),
        ("network", spec.network_name(plan), networks),
        *(("volume", spec.volume_name(plan, name, volume), volumes) for name in names for volume in spec.VOLUMES),
    )
    found = []
    for kind, name, there in wanted:
        owner = spec.lab_of(there.get(name))
        if name in there and (owner is None or owner.uuid != plan.uuid):
            whose = f"lab {owner.name} of {owner.owner}" if owner else "somebody else"
            force = "" if kind == "network" else " --force"
            found.append(
                Problem(
                    f"the {kind} {name} exists and belongs to {whose}; it is left alone",
                    "Docker",
                    f"{engine.docker_command()} {kind} rm{force} {name}   (if it is yours and not needed)",
                )
            )
    return found
