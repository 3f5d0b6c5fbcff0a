"""What is done to an engine in more than one place: commands in containers, removal, failures in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.errors import LabError, ProviderError
from orchestrator.events import Emit, Step
from orchestrator.providers import ssh_access

if TYPE_CHECKING:
    from docker import APIClient

RunParallel = Callable[[Callable[[Any], Any], Any], list[Any]]


def execute(api: APIClient, container: str, argv: Sequence[str], user: str = "") -> tuple[bool, str]:
    """Whether a command in a running container succeeds, and what it prints."""
    run = api.exec_create(container, list(argv), user=user)
    output = api.exec_start(run["Id"]).decode(errors="replace").strip()
    return api.exec_inspect(run["Id"])["ExitCode"] == 0, output


def disk_use(api: APIClient, label: str) -> int:
    """Bytes that the containers and volumes with a label hold, those of their images aside."""
    held, (key, value) = api.df(), label.split("=", 1)
    ours = [
        item
        for kind in ("Containers", "Volumes")
        for item in held[kind] or ()
        if (item["Labels"] or {}).get(key) == value
    ]
    return sum(item.get("SizeRw", 0) + item.get("UsageData", {}).get("Size", 0) for item in ours)


def remove(api: APIClient, filters: dict[str, list[str]], run_parallel: RunParallel, emit: Emit, phase: str) -> None:
    """Remove what the filter selects: containers first, then images, volumes and networks."""
    from docker.errors import NotFound

    def attempt(what: str, action: Callable[[], Any]) -> None:
        with suppress(NotFound), docker_failures(what, NotFound):
            action()
            emit(Step(phase=phase, name=f"remove {what}", status="changed"))

    def remove_container(item: dict[str, Any]) -> None:
        name = item["Names"][0].strip("/") if item["Names"] else item["Id"][:12]
        for port in item["Ports"]:
            if port["PrivatePort"] == 22 and "PublicPort" in port:
                ssh_access.end_shared("vagrant", port["PublicPort"])
        attempt(name, partial(api.remove_container, item["Id"], force=True, v=True))

    run_parallel(remove_container, api.containers(all=True, filters=filters))
    # The newest first: an image stays while another one stands on it.
    for image in sorted(api.images(filters=filters), key=lambda item: -int(item["Created"])):
        attempt(f"image {image['Id'][7:19]}", partial(api.remove_image, image["Id"], force=True))
    for volume in api.volumes(filters=filters)["Volumes"] or ():
        attempt(f"volume {volume['Name']}", partial(api.remove_volume, volume["Name"], force=True))
    for network in api.networks(filters=filters):
        attempt(f"network {network['Name']}", partial(api.remove_network, network["Id"]))


def failure(what: str, error: Exception) -> ProviderError:
    """Docker's refusal in its own words."""
    cause = getattr(error, "explanation", None) or str(error)
    fix = "labctl doctor"
    if "port is already allocated" in str(cause) or "address already in use" in str(cause):
        fix = "set network.ssh_port_base in lab.yml to a free range, or end the program that has the port"
    return ProviderError(f"{what}: Docker refuses: {cause}", fix=fix)


@contextmanager
def docker_failures(what: str, passed: type[Exception] = LabError) -> Iterator[None]:
    """Turn what the SDK lets through (also requests' and urllib3's errors) into a ProviderError about `what`."""
    try:
        yield
    except (LabError, passed):
        raise
    except Exception as error:
        raise failure(what, error) from error
