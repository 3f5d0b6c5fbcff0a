"""`labctl destroy`: remove a lab completely, found from its state directory or from the backend's labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab import kubeconfigs
from orchestrator.lab.baking import sweep
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.result import Result
from orchestrator.lab.state import lab_file, open_lab
from orchestrator.lab.tmux import stop_tmux
from orchestrator.model import Plan, ProviderName
from orchestrator.paths import LabDir
from orchestrator.providers import registry, ssh_access
from orchestrator.providers.base import LabIdentity


@dataclass(frozen=True)
class Target:
    """A lab to remove: its identity, its provider, and its state directory, which need not exist."""

    identity: LabIdentity
    provider: ProviderName
    directory: LabDir

    def __str__(self) -> str:
        place = f"all its machines, networks and volumes; {self.directory.root}"
        return f"{self.identity.name} ({self.provider}; {place})"


@dataclass(frozen=True)
class DestroyResult(Result):
    """The labs that a dry run would remove, and those that were removed."""

    would: tuple[str, ...]
    removed: tuple[str, ...]
    schema = "labctl/destroy/v1"


def find_targets(file: Path | None, uuid: str | None) -> list[Target]:
    """The lab of this directory, or the one with this id; empty when there is none.

    A lab whose state directory was deleted is found by the labels on its machines. A lab of another directory is
    selected by its id only. Raises SpecError for an id that no lab has.
    """
    known = registry.find_labs()
    if uuid is not None:
        selected = [_target(identity, provider) for provider, identity in known if identity.uuid == uuid]
        if not selected:
            existing = ", ".join(f"{i.uuid} ({i.name} of {i.owner})" for _, i in known) or "none"
            raise SpecError(f"no lab has the id {uuid}", fix=f"labs on this host: {existing}")
        return selected
    try:
        lab = open_lab(file)
        return [Target(lab.identity, lab.plan.provider, lab.directory)]
    except SpecError:
        owner = str(lab_file(file).resolve().parent)
        return [_target(identity, provider) for provider, identity in known if identity.owner == owner]


def _target(identity: LabIdentity, provider: ProviderName) -> Target:
    return Target(identity, provider, LabDir(Path(identity.owner) / ".labctl" / identity.name))


def preview(targets: Sequence[Target]) -> DestroyResult:
    """What a destroy of these labs would remove."""
    return DestroyResult(tuple(map(str, targets)), ())


def destroy(targets: Sequence[Target], emit: Emit) -> DestroyResult:
    """Remove every machine, network and volume of these labs, then their state. Raises ProviderError, LockedError."""
    for target in targets:
        root = target.directory.root
        had_state = root.exists()
        with exclusive_lock(target.directory, "destroy") if had_state else nullcontext():
            with (
                open_provider(target.provider, emit) as provider,
                phase(emit, "destroy", f"Remove {target.identity.name}"),
            ):
                stop_tmux(target.identity.uuid)
                _end_connections(target)
                provider.destroy(target.identity, emit, "destroy")
                sweep(provider, emit)
                kubeconfigs.remove_context(target.identity.uuid, target.directory, emit, "destroy")
            if had_state:
                shutil.rmtree(root)
        if had_state and not any(root.parent.iterdir()):
            root.parent.rmdir()
    return DestroyResult((), tuple(map(str, targets)))


def _end_connections(target: Target) -> None:
    """End every shared connection, so that the next lab at these addresses finds none to a removed machine."""
    ssh_access.end_connections(target.identity.uuid)
    with suppress(OSError, ValueError):
        plan = Plan.from_json(target.directory.plan.read_text(encoding="utf-8"))
        for node in plan.nodes:
            user, address, port = registry.ssh_endpoint(plan, node)
            ssh_access.end_shared(user, port, address)
