"""One lab's network and containers in an engine: looked up, created, and repaired."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import host
from orchestrator.model import NodePlan, Plan
from orchestrator.providers import ssh_access
from orchestrator.providers.base import identity
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container.preflight import is_same_network

STOP_SECONDS = 30


@dataclass(frozen=True)
class Machines:
    """The containers of a plan; `api` is the client of the engine, `fill` puts something into new volumes."""

    api: Any
    plan: Plan
    fill: Callable[[NodePlan], None] = lambda node: None

    def inspect(self, node: str) -> dict[str, Any] | None:
        """Docker's record of a node, found by label; None when there is none."""
        from docker.errors import NotFound

        for item in self.api.containers(all=True, filters=spec.of_node(self.plan.uuid, node)):
            with contextlib.suppress(NotFound):
                return dict(self.api.inspect_container(item["Id"]))
        return None

    def has_network(self) -> bool:
        """Whether the lab's network exists as planned."""
        networks = self.api.networks(filters=spec.selector(self.plan.uuid))
        return any(is_same_network(self.plan, network) for network in networks)

    def ensure_network(self) -> None:
        """Create the lab's network unless it exists."""
        if self.has_network():
            return
        selector = spec.selector(self.plan.uuid)
        for network in self.api.networks(filters=selector):
            # The lab moved to another subnet: its containers carry the old addresses and are recreated.
            for container in self.api.containers(all=True, filters=selector):
                self.api.remove_container(container["Id"], force=True, v=True)
            self.api.remove_network(network["Id"])
        self.api.create_network(**spec.network_arguments(self.plan))

    def must_be_created(self, node: NodePlan, record: dict[str, Any] | None) -> bool:
        """Whether a node is missing, incomplete (never started) or has what a living container cannot change."""
        if record is None or record["State"]["Status"] in ("created", "dead", "removing"):
            return True
        return bool(record["Config"]["Labels"].get(spec.SPEC) != spec.fixed_digest(self.plan, node))

    def ensure(self, node: NodePlan, image: str, public_key: str) -> bool:
        """Create or repair one node; whether anything had to be done."""
        record = self.inspect(node.name)
        if record is None or self.must_be_created(node, record):
            if record is not None:
                self.api.remove_container(record["Id"], force=True, v=True)
            self._create(node, image, public_key)
            return True
        container, changed = record["Id"], False
        limits = spec.limits(node)
        if {key: record["HostConfig"].get(key) for key in limits} != limits:
            self.api.update_container(
                container,
                cpu_period=limits["CpuPeriod"],
                cpu_quota=limits["CpuQuota"],
                mem_limit=limits["Memory"],
                memswap_limit=limits["MemorySwap"],
            )
            changed = True
        if record["State"].get("Paused"):
            self.api.unpause(container)
            changed = True
        connected = spec.is_on_network(self.plan, node, record)
        if not connected:
            self._connect(node, container)
        if not connected or not record["State"]["Running"]:
            self.api.put_archive(container, "/", spec.authorized_keys(public_key))
            self.api.start(container)
            changed = True
        return changed

    def start_new(self, node: NodePlan, image: str, host_key: str, files: Iterable[bytes]) -> None:
        """Start a new container with these archives of files in it."""
        config = spec.container_config(self.plan, node, image, self._granted(), host_key)
        container = self.api.create_container_from_config(config, name=spec.container_name(self.plan, node.name))["Id"]
        # Before the start: reading or writing a running container's files mounts its volumes a second time inside it.
        for archive in files:
            self.api.put_archive(container, "/", archive)
        self.api.start(container)

    def _create(self, node: NodePlan, image: str, public_key: str) -> None:
        for volume in spec.VOLUMES:
            labels = spec.labels(identity(self.plan), node=node.name, part=volume)
            self.api.create_volume(spec.volume_name(self.plan, node.name, volume), labels=labels)
        self.fill(node)
        private, public = ssh_access.new_host_key()
        self.start_new(node, image, public, (spec.authorized_keys(public_key), spec.host_key_files(private, public)))

    def _connect(self, node: NodePlan, container: str) -> None:
        """Bring a node back to the lab's network, from which somebody took it; leaves it stopped."""
        name = spec.network_name(self.plan)
        with contextlib.suppress(Exception):  # what is not connected needs no disconnecting
            self.api.disconnect_container_from_network(container, name, force=True)
        self.api.stop(container, timeout=STOP_SECONDS)
        self.api.connect_container_to_network(container, name, ipv4_address=node.address, aliases=[node.name])

    def _granted(self) -> list[str]:
        """The Linux capabilities that a node gets."""
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
        return spec.grantable(host.missing_capabilities(), last, str(self.api.version()["Version"]))
