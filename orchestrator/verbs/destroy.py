"""`labctl destroy`: remove a lab completely, found from its state directory or from the backend's labels."""

from __future__ import annotations

import shutil
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.events import Emit, phase
from orchestrator.lab import kubeconfigs
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import open_provider
from orchestrator.lab.state import lab_file, open_lab
from orchestrator.lab.tmux import stop_tmux
from orchestrator.model import Plan, ProviderName
from orchestrator.paths import LabDir
from orchestrator.providers import registry, ssh_access
from orchestrator.providers.base import LabIdentity


@dataclass(frozen=True)
class Doomed:
    """A lab to be removed: who it is, whose machines it has, and its state directory when that is still there."""

    identity: LabIdentity
    provider: ProviderName
    directory: LabDir


def find(file: Path | None, uuid: str | None) -> list[Doomed]:
    """The lab that is meant: of this directory, or with this id. Empty when there is none.

    A lab whose state directory was deleted is found by the labels on its machines. A lab of another
    directory is touched only when its id was given.
    """
    known = registry.find_labs()
    if uuid is not None:
        chosen = [(name, identity) for name, identity in known if identity.uuid == uuid]
        if not chosen:
            listed = ", ".join(f"{i.uuid} ({i.name} of {i.owner})" for _, i in known) or "none"
            raise SpecError(f"no lab has the id {uuid}", fix=f"labs on this host: {listed}")
        return [_doomed(identity, name) for name, identity in chosen]
    try:
        lab = open_lab(file)
        return [Doomed(lab.identity, lab.plan.provider, lab.directory)]
    except SpecError:
        owner = str(lab_file(file).resolve().parent)
        return [_doomed(identity, name) for name, identity in known if identity.owner == owner]


def _doomed(identity: LabIdentity, provider: ProviderName) -> Doomed:
    return Doomed(identity, provider, LabDir(Path(identity.owner) / ".labctl" / identity.name))


def describe(doomed: list[Doomed]) -> list[str]:
    """What would go, one line per lab."""
    return [
        f"{d.identity.name} ({d.provider}; all its machines, networks and volumes; {d.directory.root})" for d in doomed
    ]


def destroy(doomed: list[Doomed], emit: Emit) -> None:
    """Remove every machine, network and volume of these labs, then their state. Raises ProviderError, LockedError."""
    for each in doomed:
        had_state = each.directory.root.exists()
        with exclusive_lock(each.directory, "destroy") if had_state else nullcontext():
            with open_provider(each.provider, emit) as provider, phase(emit, "destroy", f"Remove {each.identity.name}"):
                stop_tmux(each.identity.uuid)
                _hang_up(each)
                provider.destroy(each.identity, emit, "destroy")
                kubeconfigs.remove_context(each.identity.uuid, each.directory, emit, "destroy")
            if had_state:
                shutil.rmtree(each.directory.root)
        if had_state:
            _remove_if_empty(each.directory.root.parent)


def _hang_up(doomed: Doomed) -> None:
    """End every shared connection, so that the next lab at these addresses meets none to a machine that is gone."""
    ssh_access.end_connections(doomed.identity.uuid)
    with suppress(OSError, ValueError):
        plan = Plan.from_json(doomed.directory.plan.read_text(encoding="utf-8"))
        for node in plan.nodes:
            user, address, port = plan.ssh_endpoint(node)
            ssh_access.end_shared(user, port, address)


def _remove_if_empty(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
