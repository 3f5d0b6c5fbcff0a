"""Prepares the host: installs what is missing after the user has agreed, and refuses a host that is not ready."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from orchestrator import bundle, host
from orchestrator.checks.host import package_names
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note
from orchestrator.model import Plan
from orchestrator.plan import select
from orchestrator.providers import registry
from orchestrator.spec import Spec

Agree = Callable[[str], bool]


def decline(question: str) -> bool:
    """An `Agree` that answers no, so that nothing is installed on the host."""
    return False


# The programs that labctl itself calls on the host.
_PROGRAMS = ("ssh", "ip")
# Debian 12's package has the version that the bundle is compiled from the source of.
_KUBECTL_PACKAGE, _KUBECTL_MINOR = "kubernetes-client", "1.20."


def missing_packages(spec: Spec) -> tuple[str, ...]:
    """Packages of this host's package manager that the lab needs and that are not installed."""
    names = [name for program in _PROGRAMS if shutil.which(program) is None for name in package_names(program)]
    state = select(spec.lab.provider, registry.states()).state
    names += registry.provider(state.name).missing_packages(spec.lab.guest)
    if state.traits.shares_kernel:
        # Containers make a lab on a host without an internet, which builds its bundle itself.
        names += _build_packages()
    return tuple(dict.fromkeys(names))


def _build_packages() -> list[str]:
    """Packages to build a bundle that this host lacks; none where not all of them are to be had.

    Whoever is not root could not install them, and mostly need not: an engine that answers and a bundle at hand are
    enough. Where one has to be built, the build says what is missing.
    """
    if os.geteuid() != 0:
        return []
    missing = [program for program in bundle.required_host_tools() if shutil.which(program) is None]
    packages = [package_names(program) for program in missing]
    return [name for names in packages for name in names] if all(packages) else []


def install_missing_packages(spec: Spec, agree: Agree, emit: Emit) -> None:
    """Install the missing packages. Raises HostError with the command when the user does not agree."""
    names = missing_packages(spec)
    if not names:
        return
    command = host.install_command(host.package_manager(), names)
    if not agree(f"This host lacks {', '.join(names)}. Install with `{command}`?"):
        raise HostError(
            f"this host lacks {', '.join(names)}",
            fix=f"{command}   (or: labctl provision --yes, which does it)",
        )
    emit(Note(phase="host", text=f"installing on this host: {', '.join(names)}"))
    host.install_packages(names)


def agree_to_start(plan: Plan, agree: Agree) -> None:
    """Ask before a service is started for a new lab. Raises HostError when the user does not agree."""
    service = registry.provider(plan.provider).stopped_service()
    if service and not agree(f"No {service} runs here. Start one for the lab? It ends with the last lab."):
        raise HostError(
            f"no {service} runs here, and you did not agree to start one",
            fix="start it yourself, or: labctl provision --yes, which starts one for the lab",
        )


def offer_kubectl(plan: Plan, agree: Agree, emit: Emit) -> None:
    """Install kubectl on the host when the host's package is of the cluster's version; the lab has its own anyway."""
    fits = plan.kubernetes is not None and plan.kubernetes.version.startswith(_KUBECTL_MINOR)
    if not fits or shutil.which("kubectl") or host.package_manager() != "apt":
        return
    command = host.install_command("apt", [_KUBECTL_PACKAGE])
    if not agree(f"This host has no kubectl. Install it with `{command}`?"):
        return
    try:
        host.install_packages([_KUBECTL_PACKAGE])
        emit(Note(phase="kubeconfig", text=f"installed kubectl on this host ({_KUBECTL_PACKAGE})"))
    except HostError as problem:
        emit(
            Note(phase="kubeconfig", text=f"no kubectl on this host ({problem.message}); `labctl kubectl` has its own")
        )


def refuse_problems(problems: list[Problem]) -> None:
    """Raise HostError naming every problem of a preflight; return when there is none."""
    if len(problems) == 1:
        raise HostError(problems[0].what, fix=problems[0].fix)
    if problems:
        raise HostError("this host is not ready for the lab", problems=problems)
