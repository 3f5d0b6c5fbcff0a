"""Which providers there are, which of them this host is ready for and why, and which one a lab gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import get_args

from orchestrator import operating_system
from orchestrator.checks.host import HostCheck
from orchestrator.checks.model import not_applicable
from orchestrator.errors import HostError, SpecError
from orchestrator.events import discard
from orchestrator.model import NodePlan, Plan, ProviderName
from orchestrator.observed import ProviderState
from orchestrator.plan import select
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.providers.platforms import unsupported
from orchestrator.spec import Spec

# Providers that share a folder; every other one is `<name>/provider.py`.
_SHARED_FOLDER = {"virtualbox": "vagrant.virtualbox", "libvirt": "vagrant.libvirt"}
_NAMES: tuple[ProviderName, ...] = get_args(ProviderName)


def provider(name: ProviderName) -> Provider:
    """The provider of this name."""
    module = _SHARED_FOLDER.get(name, f"{name}.provider")
    made: Provider = import_module(f"orchestrator.providers.{module}").make()
    return made


def states() -> tuple[ProviderState, ...]:
    """Every provider in the order of preference, with what it lacks on this host. Starts nothing.

    A Docker engine that is not running but that labctl can start counts as ready.
    """
    return tuple(_state(provider(name)) for name in _NAMES)


def _state(one: Provider) -> ProviderState:
    # A system on which it makes nothing first: what it lacks there could not be installed.
    if problem := unsupported(one.name, operating_system.current()) or one.obstacle():
        return ProviderState(one.name, False, problem.what, problem.fix, traits=one.traits)
    return ProviderState(one.name, True, only_named=one.only_named(), traits=one.traits)


def choose(requested: str, states: Sequence[ProviderState], existing: ProviderName | None) -> tuple[ProviderName, str]:
    """The provider of a lab, and why. Raises SpecError for one the lab cannot have, HostError with what is missing."""
    if requested not in ("auto", *_NAMES):
        raise SpecError(f"provider: {requested} is none of {', '.join(('auto', *_NAMES))}", fix="provider: auto")
    if existing not in (None, requested) and requested != "auto":
        raise SpecError(f"provider: this lab's machines are made with {existing}", fix="labctl destroy, then provision")
    selection = select(requested, states, existing)
    if selection.problems:
        raise HostError("; ".join(problem.what for problem in selection.problems), fix=selection.problems[-1].fix)
    return selection.state.name, selection.reason


def host_checks(name: ProviderName, spec: Spec, existing: Plan | None) -> tuple[HostCheck, ...]:
    """The checks of this provider for `labctl doctor`; those that only another one needs are not applicable."""
    reason = not_applicable(f"the lab's provider is {name}")
    checks: dict[str, HostCheck] = {}
    for other in _NAMES:
        for check in provider(other).host_checks(spec, existing):
            if other == name:
                checks[check.id] = check
            else:
                checks.setdefault(check.id, replace(check, evaluate=lambda: reason))
    return tuple(checks.values())


def ssh_endpoint(plan: Plan, node: NodePlan) -> tuple[str, str, int]:
    """User, address and port under which this host reaches a node of a plan."""
    return provider(plan.provider).ssh_endpoint(plan, node)


def find_labs() -> list[tuple[ProviderName, LabIdentity]]:
    """Every lab that any backend of this host knows, with its provider."""
    found: list[tuple[ProviderName, LabIdentity]] = []
    for name in _NAMES:
        one = provider(name)
        try:
            found += [(name, identity) for identity in one.find_labs()]
        finally:
            one.close(discard, "find")
    return found
