"""Scripts over Docker volumes, in a container that lives as long as they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.errors import HostError, ProviderError

if TYPE_CHECKING:
    from docker import APIClient

# The part of a lab that a container is which only copies.
COPY = "copy"
# Committing a layer and copying volumes, one node, on a slow disk.
COPY_SECONDS = 1200


def copying(pairs: Mapping[str, tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """The script that copies volumes, shared where the disk can, and where they are mounted for it.

    `pairs` maps a name to the volumes that it is copied from and to; what was in the target goes.
    """
    script = "; ".join(
        f"find /to/{name} -mindepth 1 -delete; cp -a --reflink=auto /from/{name}/. /to/{name}/" for name in pairs
    )
    mounts = {f"/from/{name}": source for name, (source, _) in pairs.items()}
    return script, mounts | {f"/to/{name}": target for name, (_, target) in pairs.items()}


def run_over(
    api: APIClient,
    image: str,
    script: str,
    mounts: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    read_only: bool = False,
) -> str:
    """The output of a shell script that runs as root over volumes, given by where they are mounted.

    Raises HostError for a full disk, ProviderError for any other failure.
    """
    config = {
        "Image": image,
        "Entrypoint": ["/bin/sh", "-ec", script],
        "Cmd": [],
        "Labels": dict(labels),
        "HostConfig": {
            "NetworkMode": "none",
            # The layers of the containers in a node carry attributes that only this capability sees.
            "CapAdd": ["SYS_ADMIN"],
            "SecurityOpt": ["apparmor=unconfined", "label=disable"],
            "Mounts": [
                {"Type": "volume", "Source": name, "Target": target, "ReadOnly": read_only}
                for target, name in mounts.items()
            ],
        },
    }
    client: Any = api
    made = client.create_container_from_config(config)["Id"]
    try:
        client.start(made)
        code = client.wait(made, timeout=COPY_SECONDS)["StatusCode"]
        output = str(client.logs(made).decode(errors="replace"))
    finally:
        client.remove_container(made, force=True, v=False)
    if code != 0:
        last = output.strip().rpartition("\n")[2] or "no output"
        if "No space left" in last:
            fix = "free space where Docker keeps its data (docker info); then again"
            raise HostError(f"copying volumes failed: {last}", fix=fix)
        raise ProviderError(f"copying volumes failed: {last}", fix="labctl doctor")
    return output
