"""How a lab looks in Docker: names, labels, and the arguments each network, volume and container is made with. Pure."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.capabilities import CAPABILITIES
from orchestrator.model import NodePlan, Plan
from orchestrator.providers.base import LabIdentity, identity
from orchestrator.providers.without_systemd.host_state import BRIDGE_PREFIX

NAME, UUID, OWNER, NODE, PART = "labctl.name", "labctl.uuid", "labctl.owner", "labctl.node", "labctl.part"
SPEC, HOST_KEY = "labctl.spec", "labctl.host-key"
VOLUMES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet"}
API_SERVER_PORT = 6443
USER_ID = 1000

# A node that had these could load modules into the host's kernel or set its clock.
WITHHELD = ("SYS_MODULE", "SYS_TIME")
# Docker before 23 refuses a container that asks for one of these: it does not know the names.
UNKNOWN_BEFORE_23 = ("PERFMON", "BPF", "CHECKPOINT_RESTORE")


def labels(lab: LabIdentity, *, node: str = "", part: str = "") -> dict[str, str]:
    """Labels of one object of the lab."""
    found = {NAME: lab.name, UUID: lab.uuid, OWNER: lab.owner, NODE: node, PART: part}
    return {key: value for key, value in found.items() if value}


def lab_of(found: Mapping[str, str] | None) -> LabIdentity | None:
    """Whose lab an object with these labels belongs to; None when it is not labctl's."""
    if not found or not found.get(UUID):
        return None
    return LabIdentity(found.get(NAME, ""), found[UUID], found.get(OWNER, ""))


def selector(uuid: str) -> dict[str, list[str]]:
    """The filter that makes Docker list the objects of one lab only."""
    return {"label": [f"{UUID}={uuid}"]}


def of_node(uuid: str, node: str) -> dict[str, list[str]]:
    """The filter that makes Docker list the objects of one node only."""
    return {"label": [f"{UUID}={uuid}", f"{NODE}={node}"]}


def bridge(uuid: str) -> str:
    """The name of the lab's bridge on the host; interface names end at 15 characters."""
    return f"{BRIDGE_PREFIX}{uuid.replace('-', '')[:10]}"


def network_name(plan: Plan) -> str:
    """The lab's network in Docker: readable, and different for two labs of the same name."""
    return f"labctl-{plan.name}-{plan.uuid[:8]}"


def container_name(plan: Plan, node: str) -> str:
    """A node's container in Docker."""
    return f"{plan.name}-{plan.uuid[:8]}-{node}"


def volume_name(plan: Plan, node: str, volume: str) -> str:
    """One of a node's volumes in Docker."""
    return f"{container_name(plan, node)}-{volume}"


def network_arguments(plan: Plan) -> dict[str, Any]:
    """Arguments for the engine's create_network."""
    return {
        "name": network_name(plan),
        "driver": "bridge",
        "options": {"com.docker.network.bridge.name": bridge(plan.uuid)},
        "labels": labels(identity(plan)),
        "ipam": {
            "Driver": "default",
            "Options": {},
            "Config": [{"Subnet": plan.network.subnet, "Gateway": plan.network.gateway}],
        },
    }


def grantable(missing: Sequence[str], last: int, engine_version: str) -> list[str]:
    """Capabilities a node gets: all up to number `last` (the kernel's) that this host and engine can give."""
    major = int(engine_version.split(".")[0]) if engine_version.split(".")[0].isdigit() else 0
    refused = {*missing, *WITHHELD, *(UNKNOWN_BEFORE_23 if major < 23 else ())}
    return [name for bit, name in enumerate(CAPABILITIES.split()) if bit <= last and name not in refused]


def limits(node: NodePlan) -> dict[str, int]:
    """A node's CPU and memory limits; swap is not added on top, as a machine of that size has none."""
    return {
        "CpuPeriod": 100_000,
        "CpuQuota": node.cpus * 100_000,
        "Memory": node.memory * 2**20,
        "MemorySwap": node.memory * 2**20,
    }


def host_config(plan: Plan, node: NodePlan, capabilities: Sequence[str]) -> dict[str, Any]:
    """The HostConfig of a node.

    Not --privileged, which fails wherever one capability is missing from the bounding set and otherwise
    hands the node every device of the host.
    """
    ports = {"22/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(node.ssh_port)}]}
    if plan.kubernetes and node.role == "control_plane":
        key = f"{API_SERVER_PORT}/tcp"
        ports[key] = [{"HostIp": "127.0.0.1", "HostPort": str(plan.kubernetes.api_port)}]
    for forward in plan.forwards_of(node.name):
        binding = {"HostIp": forward.address, "HostPort": str(forward.host_port)}
        ports.setdefault(f"{forward.port}/tcp", []).append(binding)
    return {
        **limits(node),
        "NetworkMode": network_name(plan),
        "PortBindings": ports,
        "RestartPolicy": {"Name": "no"},
        "CapDrop": ["ALL"],
        "CapAdd": list(capabilities),
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "DeviceCgroupRules": ["a *:* rwm"],
        "Devices": [{"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "rwm"}],
        "CgroupnsMode": "private",
        "Tmpfs": {"/run": "rw,exec,nosuid,nodev,mode=755", "/tmp": "rw,exec,nosuid,nodev,mode=1777"},
        "Mounts": [
            {"Type": "volume", "Source": volume_name(plan, node.name, volume), "Target": target}
            for volume, target in VOLUMES.items()
        ]
        + [
            {"Type": "bind", "Source": mount.host, "Target": mount.target, "ReadOnly": not mount.writable}
            for mount in plan.mounts_of(node.name)
        ],
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
    }


def container_config(
    plan: Plan, node: NodePlan, image: str, capabilities: Sequence[str], host_key: str
) -> dict[str, Any]:
    """The whole container as Docker's API takes it.

    Labels carry a digest of what cannot be changed later, and the public host key that the node is given.
    """
    settings = host_config(plan, node, capabilities)
    endpoint = {"IPAMConfig": {"IPv4Address": node.address}, "Aliases": [node.name]}
    own = labels(identity(plan), node=node.name)
    return {
        "Image": image,
        "Hostname": node.name,
        "StopSignal": "SIGRTMIN+3",
        "ExposedPorts": {port: {} for port in settings["PortBindings"]},
        "HostConfig": settings,
        "NetworkingConfig": {"EndpointsConfig": {network_name(plan): endpoint}},
        "Labels": {**own, SPEC: fixed_digest(plan, node), HOST_KEY: host_key},
    }


def is_on_network(plan: Plan, node: NodePlan, found: Mapping[str, Any]) -> bool:
    """Whether a container, as Docker inspects it, is on the lab's network under the planned address."""
    endpoint = found["NetworkSettings"]["Networks"].get(network_name(plan)) or {}
    if found["State"]["Running"]:
        return bool(endpoint.get("IPAddress") == node.address)
    return bool((endpoint.get("IPAMConfig") or {}).get("IPv4Address") == node.address)


def fixed_digest(plan: Plan, node: NodePlan) -> str:
    """A digest of what cannot be changed in a living container; another one means that it must be recreated."""
    ports = host_config(plan, node, ())["PortBindings"]
    fixed: tuple[object, ...] = (node.address, plan.network.subnet, plan.network.gateway)
    mounts = [(mount.host, mount.target, mount.writable) for mount in plan.mounts_of(node.name)]
    # Without mounts what it was before there were any: existing nodes stay.
    fixed += (sorted(map(str, ports.items())), *([sorted(mounts)] if mounts else []))
    return hashlib.sha256(repr(fixed).encode()).hexdigest()[:12]


def authorized_keys(public_key: str) -> bytes:
    """A tar for the node's root that lets the lab's key in as the login user, with the modes sshd insists on."""
    content = f"{public_key}\n".encode()
    return _tar({"home/vagrant/.ssh/": (0o700, b""), "home/vagrant/.ssh/authorized_keys": (0o600, content)}, USER_ID)


def host_key_files(private: bytes, public: str) -> bytes:
    """A tar for the node's root with the host key it is to have."""
    path = "etc/ssh/ssh_host_ed25519_key"
    return _tar({path: (0o600, private), f"{path}.pub": (0o644, f"{public}\n".encode())}, 0)


def _tar(files: Mapping[str, tuple[int, bytes]], owner: int) -> bytes:
    """An archive of files by path; a path that ends in a slash is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (mode, content) in files.items():
            info = tarfile.TarInfo(path.rstrip("/"))
            info.mode, info.size, info.uid, info.gid = mode, len(content), owner, owner
            info.type = tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
