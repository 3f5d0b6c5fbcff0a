"""`labctl list`: every lab on this host, of every provider and checkout."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import get_args

from orchestrator.errors import LabError
from orchestrator.events import discard
from orchestrator.lab import claims
from orchestrator.lab.result import Result
from orchestrator.lab.state import saved_plan
from orchestrator.model import Plan, ProviderName
from orchestrator.proc import ProcessFailed
from orchestrator.providers import base, registry
from orchestrator.providers.base import LabIdentity, Provider

# Seconds that a provider has to name its labs; counting what they hold on disk is most of it.
DEADLINE = 30.0


@dataclass(frozen=True)
class ListedLab:
    """One lab: `size` are the bytes of its machines' disks, None where its provider cannot tell.

    `since` is the time at which it was made, in seconds of the epoch; None for a lab whose folder is gone.
    """

    id: str
    name: str
    provider: ProviderName
    state: str
    size: int | None
    since: float | None
    directory: str


@dataclass(frozen=True)
class Labs(Result):
    """All labs, and why a provider could not name its own, by provider."""

    labs: tuple[ListedLab, ...]
    unanswered: dict[ProviderName, str]
    schema = "labctl/list/v1"


def list_labs(seconds: float = DEADLINE) -> Labs:
    """Every lab that a provider knows or that has its folder; providers are asked all at once."""
    found: dict[ProviderName, list[ListedLab]] = {}
    failed: dict[ProviderName, str] = {}
    crashed: list[Exception] = []

    def ask(name: ProviderName) -> None:
        try:
            found[name] = _labs_of(registry.provider(name))
        except (LabError, ProcessFailed, OSError) as problem:
            failed[name] = str(problem).splitlines()[0]
        except Exception as problem:  # a fault of labctl's, which a thread would only print
            crashed.append(problem)

    names: tuple[ProviderName, ...] = get_args(ProviderName)
    slow = _run_for(seconds, {name: partial(ask, name) for name in names})
    if crashed:
        raise crashed[0]
    unanswered = {**failed, **dict.fromkeys(slow, f"no answer within {seconds:.0f} s")}
    labs = [lab for name in names if name not in unanswered for lab in found.get(name, ())]
    return Labs(tuple(sorted(labs, key=lambda lab: (lab.directory, lab.name))), unanswered)


def _run_for(seconds: float, actions: dict[ProviderName, Callable[[], None]]) -> list[ProviderName]:
    """Run all at once and return the names of those that have not ended in time; they end with this process."""
    threads = {name: threading.Thread(target=action, daemon=True) for name, action in actions.items()}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return [name for name, thread in threads.items() if thread.is_alive()]


def _labs_of(provider: Provider) -> list[ListedLab]:
    try:
        labs = {lab.uuid: lab for lab in (*provider.find_labs(), *_claimed(provider.name))}
        return [_listed(provider, lab) for lab in labs.values()]
    finally:
        provider.close(discard, "list")


def _claimed(name: ProviderName) -> Iterator[LabIdentity]:
    """Labs of this user that have a folder, whether they have machines or not."""
    for directory in claims.labs():
        with suppress(OSError, ValueError):
            plan = saved_plan(directory)
            if plan.provider == name:
                yield base.identity(plan)


def _listed(provider: Provider, lab: LabIdentity) -> ListedLab:
    plan = _plan_of(lab)
    if obstacle := provider.obstacle():
        state = f"unknown: {obstacle.what}"
    else:
        state = _state(provider, plan) if plan else "its folder is gone"
    since = lab.directory.identity.stat().st_mtime if plan else None
    return ListedLab(lab.uuid, lab.name, provider.name, state, provider.disk_use(lab), since, lab.owner)


def _plan_of(lab: LabIdentity) -> Plan | None:
    try:
        plan = saved_plan(lab.directory)
    except (OSError, ValueError):
        return None
    # Another lab may have been made there since.
    return plan if plan.uuid == lab.uuid else None


def _state(provider: Provider, plan: Plan) -> str:
    """The state of all machines in a word or two, or how many are in which."""
    states = Counter("halted" if node.state == "stopped" else node.state for node in provider.nodes(plan))
    if len(states) == 1:
        return "no machines" if "missing" in states else next(iter(states))
    return ", ".join(f"{count} {state}" for state, count in states.most_common())
