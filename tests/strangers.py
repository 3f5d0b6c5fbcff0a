"""Machines of somebody else for the provider `static`: containers that carry no mark of labctl."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator import host, proc
from orchestrator.events import discard
from orchestrator.model import NodePlan, Plan, StaticHost
from orchestrator.providers import ssh_access
from orchestrator.providers.container import engine, node_image
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.static.provider import fingerprint

# Their owner's runc, for labctl sets no runtime there: where the host lacks a capability, plain runc starts nothing.
RUNC = b'#!/bin/sh\nLABCTL_RUNC=/usr/sbin/runc exec /usr/local/sbin/labctl-runc "$@"\n'


@dataclass(frozen=True)
class Strangers:
    """Machines that run, and the key their owner has for them."""

    hosts: tuple[StaticHost, ...]
    key: Path

    def ssh(self, index: int, key: Path, command: str) -> proc.Result:
        """What a command on one of them leaves, run with this key."""
        place = self.hosts[index]
        words = ["-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
        known = ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-F", "/dev/null"]
        return proc.run(["ssh", *words, *known, f"{place.user}@{place.address}", command], check=False)

    def owner(self, index: int, command: str) -> str:
        """What a command of their owner prints."""
        return self.ssh(index, self.key, command).stdout.strip()


@contextlib.contextmanager
def running(home: Path, plan: Plan) -> Iterator[Strangers]:
    """The nodes of a plan as containers without labels; removed in the end whatever happened."""
    key = home / "owners_key"
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    opened = engine.open_engine(discard, "test")
    api: Any = opened.api
    image = node_image.ensure(api, discard, "test")
    network = {name: value for name, value in spec.network_arguments(plan).items() if name != "labels"}
    ids: list[str] = []
    try:
        api.create_network(**network)
        hosts = tuple(_one(api, plan, node, image, key, ids) for node in plan.nodes)
        strangers = Strangers(hosts, key)
        deadline = time.monotonic() + 60
        while not all(strangers.ssh(index, key, "true").ok for index in range(len(hosts))):
            assert time.monotonic() < deadline, "the strangers' machines do not come up"
            time.sleep(0.3)
        yield strangers
    finally:
        for container in ids:
            api.remove_container(container, force=True, v=True)
        for volume in api.volumes()["Volumes"] or ():
            if volume["Name"].startswith(f"{plan.name}-{plan.uuid[:8]}-"):
                api.remove_volume(volume["Name"], force=True)
        with contextlib.suppress(Exception):
            api.remove_network(network["name"])
        opened.close(discard, "test")


def _one(api: Any, plan: Plan, node: NodePlan, image: str, key: Path, ids: list[str]) -> StaticHost:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    granted = spec.grantable(host.missing_capabilities(), last, str(api.version()["Version"]))
    private, public = ssh_access.new_host_key()
    config = spec.container_config(plan, node, image, granted, public)
    del config["Labels"]
    ids.append(api.create_container_from_config(config, name=f"stranger-{node.name}-{plan.uuid[:8]}")["Id"])
    owners = key.with_suffix(".pub").read_text(encoding="ascii").strip()
    for archive in (spec.authorized_keys(owners), spec.host_key_files(private, public), _program("runc", RUNC)):
        api.put_archive(ids[-1], "/", archive)
    api.start(ids[-1])
    return StaticHost("vagrant", node.address, 22, fingerprint(public))


def _program(name: str, content: bytes) -> bytes:
    """A tar with one program for /usr/local/sbin, which stands first in a service's search path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(f"usr/local/sbin/{name}")
        info.mode, info.size = 0o755, len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def with_memory(plan: Plan, *megabytes: int) -> Plan:
    """The plan with these sizes, one for each node."""
    nodes = tuple(replace(node, memory=size) for node, size in zip(plan.nodes, megabytes, strict=True))
    return replace(plan, nodes=nodes)
