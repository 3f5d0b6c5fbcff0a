"""What each provider needs of this host, as checks for `labctl doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from orchestrator.checks.host import HostCheck
from orchestrator.checks.model import Outcome, not_applicable
from orchestrator.model import Plan, ProviderName
from orchestrator.spec import Spec

Checks = Callable[[Spec, Plan | None], tuple[HostCheck, ...]]


def _checks_by_provider() -> dict[ProviderName, Checks]:
    from orchestrator.providers.container.host_checks import host_checks
    from orchestrator.providers.vagrant.host_checks import libvirt_checks, virtualbox_checks

    return {"virtualbox": virtualbox_checks, "libvirt": libvirt_checks, "container": host_checks}


def host_checks(name: ProviderName, spec: Spec, existing: Plan | None) -> tuple[HostCheck, ...]:
    """The checks of this provider; those that only another one needs are there as not applicable."""

    def skip() -> Outcome:
        return not_applicable(f"the lab's provider is {name}")

    checks: dict[str, HostCheck] = {}
    for other, checks_of in _checks_by_provider().items():
        for check in checks_of(spec, existing):
            if other == name:
                checks[check.id] = check
            else:
                checks.setdefault(check.id, replace(check, evaluate=skip))
    return tuple(checks.values())
