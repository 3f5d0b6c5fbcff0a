"""Makes the host ready: what is missing is installed, after the user has agreed; what cannot be is said, all at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from orchestrator import bundle, host
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note
from orchestrator.providers import engine
from orchestrator.spec import Spec

Agree = Callable[[str], bool]

# Program -> package, by package manager; the programs labctl itself calls on the host.
_PROGRAMS = {
    "ssh": {"apt": "openssh-client", "dnf": "openssh-clients", "zypper": "openssh-clients", "pacman": "openssh"},
    "ip": {"apt": "iproute2", "dnf": "iproute", "zypper": "iproute2", "pacman": "iproute2"},
}
# Nice to have: the lab brings a kubectl of its own, but a user expects to type the word.
_KUBECTL = {"apt": "kubernetes-client", "dnf": "kubernetes-client"}


def missing_packages(asked: Spec) -> tuple[str, ...]:
    """Packages of this host's package manager that a lab like this needs and that are not there."""
    manager = host.package_manager()
    names = [by[manager] for program, by in _PROGRAMS.items() if manager in by and shutil.which(program) is None]
    if wants_containers(asked):
        found = shutil.which("dockerd", path=engine.SYSTEM_PATH)
        names += [] if found or engine.running() else list(engine.docker_packages())
        names += [package for program, package in bundle.required_host_tools().items() if shutil.which(program) is None]
    if names and asked.lab.kubernetes.enabled and shutil.which("kubectl") is None and manager in _KUBECTL:
        names.append(_KUBECTL[manager])
    return tuple(dict.fromkeys(names))


def wants_containers(asked: Spec) -> bool:
    """Whether the lab's machines would be containers on this host."""
    return asked.lab.provider == "container" or (
        asked.lab.provider == "auto" and not (shutil.which("vagrant") and shutil.which("VBoxManage"))
    )


def install_missing(asked: Spec, agree: Agree, emit: Emit) -> None:
    """Install what is missing on the host. Raises HostError with the command when the user does not agree."""
    names = missing_packages(asked)
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


def refuse(problems: list[Problem]) -> None:
    """Raise HostError naming every problem of a preflight; return when there is none."""
    if not problems:
        return
    first = problems[0]
    raise HostError(
        "this host is not ready for the lab" if len(problems) > 1 else str(first.what),
        problems=problems if len(problems) > 1 else (),
        fix=first.fix if len(problems) == 1 else "",
    )
