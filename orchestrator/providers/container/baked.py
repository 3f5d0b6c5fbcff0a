"""Baked nodes in an engine: a machine that the roles prepared, as an image and volumes from which nodes are cloned."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.model import NodePlan, Plan
from orchestrator.providers.base import identity
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container import volumes

if TYPE_CHECKING:
    from docker import APIClient

REPOSITORY = "labctl/baked"
LABEL = "labctl.baked"
# What a machine fills before it belongs to a cluster; the kubelet's volume is empty then.
KEPT = ("docker", "containerd")

# One line that changes with every byte, mode and owner of the files of the image and the volumes. Three are left out,
# which the engine writes anew for each container.
_SEAL = r"""
export LC_ALL=C
all() {
    find / /volumes/* -xdev -not -path /etc/hosts -not -path /etc/hostname -not -path /etc/resolv.conf "$@"
}
{ all -printf '%p %y %m %U:%G %l\n' | sort
  all -type f -print0 | sort -z | xargs -0 -r -n 400 -P "$(nproc)" b2sum -l 256 | sort
} | b2sum -l 256 | cut -d' ' -f1
"""


def image_name(key: str) -> str:
    """The image of a baked node's file system."""
    return f"{REPOSITORY}:{key}"


def volume_name(key: str, volume: str) -> str:
    """One of a baked node's volumes."""
    return f"labctl-baked-{key}-{volume}"


@dataclass(frozen=True)
class BakedNodes:
    """The baked nodes in an engine; `api` has no short time limit, `base_image` is what they are made of."""

    api: APIClient
    base_image: str

    def keep(self, plan: Plan, node: NodePlan, key: str) -> int:
        """Keep a running machine of a lab, which ends with that, under a key; the bytes that it takes."""
        api: Any = self.api
        container = api.containers(all=True, filters=spec.of_node(plan.uuid, node.name))[0]
        # Its services are stopped and its files are as they are to be: a shutdown would write into them.
        api.kill(container["Id"])
        pairs = {volume: (spec.volume_name(plan, node.name, volume), volume_name(key, volume)) for volume in KEPT}
        for _, kept in pairs.values():
            api.create_volume(kept, labels={LABEL: key})
        script, mounts = volumes.copying(pairs)
        taken = self._run(plan, container["ImageID"], f"{script}; du -sbc /to/* | tail -1 | cut -f1", mounts)
        # Nothing of the lab that it was made in, which would take it along when it goes.
        own = (*spec.labels(identity(plan), node=node.name), spec.SPEC, spec.HOST_KEY)
        changes = [*(f'LABEL {name}=""' for name in own), f"LABEL {LABEL}={key}"]
        made = api.commit(container["Id"], repository=REPOSITORY, tag=key, pause=False, changes=changes)["Id"]
        written = api.inspect_image(made)["Size"] - api.inspect_image(container["ImageID"])["Size"]
        return int(taken) + int(written)

    def seal(self, plan: Plan, key: str) -> str:
        """A line that changes when anything of a baked node does; empty when it is not complete."""
        existing = {item["Name"] for item in self._volumes()}
        if not self.api.images(name=image_name(key)) or not {volume_name(key, one) for one in KEPT} <= existing:
            return ""
        mounts = {f"/volumes/{volume}": volume_name(key, volume) for volume in KEPT}
        return self._run(plan, image_name(key), _SEAL, mounts, read_only=True).strip()

    def fill(self, plan: Plan, node: NodePlan, key: str) -> None:
        """Fill the new, empty volumes of a node with what the baked node has."""
        pairs = {volume: (volume_name(key, volume), spec.volume_name(plan, node.name, volume)) for volume in KEPT}
        self._run(plan, image_name(key), *volumes.copying(pairs))

    def remove(self, keys: Collection[str]) -> None:
        """Remove the baked nodes of these keys; an image that nodes stand on goes with the last of them."""
        from docker.errors import APIError

        for key in keys:
            with contextlib.suppress(APIError):
                self.api.remove_image(image_name(key), force=True)
            for item in self._volumes():
                if item["Labels"][LABEL] == key:
                    with contextlib.suppress(APIError):
                        self.api.remove_volume(item["Name"], force=True)

    def _volumes(self) -> list[dict[str, Any]]:
        return self.api.volumes(filters={"label": LABEL})["Volumes"] or []

    def _run(self, plan: Plan, image: str, script: str, mounts: dict[str, str], *, read_only: bool = False) -> str:
        # The container is a part of the lab, which removes it when a command was killed meanwhile.
        own = {**spec.labels(identity(plan), part=volumes.COPY), LABEL: ""}
        return volumes.run_over(self.api, image, script, mounts, own, read_only=read_only)
