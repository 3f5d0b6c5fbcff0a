"""`labctl packages`: what the nodes of a lab can install from its bundle, at any time after the provision."""

from __future__ import annotations

import difflib
import shlex
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestrator import catalog
from orchestrator.bundle import BundleInfo
from orchestrator.errors import SpecError
from orchestrator.events import Emit, Note, Step, phase
from orchestrator.lab.journal import changing
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.node_access import running_nodes
from orchestrator.lab.node_commands import NodeResult, run_on_nodes
from orchestrator.lab.node_selection import select_nodes
from orchestrator.lab.package_source import known_bundle, serve_bundle
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab

TIMEOUT_SECONDS = 900.0
# The bundle's repository alone: others of the node may be out of reach, or have newer versions that are.
_APT = (
    "apt-get -qq -oDir::Etc::SourceList=/etc/apt/sources.list.d/kubernetes.sources -oDir::Etc::SourceParts=- "
    "-oAPT::Get::List-Cleanup=0 -oAcquire::http::Timeout=15 -oDPkg::Lock::Timeout=120"
)
_INSTALL = {
    "debian": (
        f"export DEBIAN_FRONTEND=noninteractive; {_APT} update --error-on=any; "
        f"{_APT} install --yes --no-install-recommends --no-remove {{packages}} >/dev/null; "
        "dpkg-query --show --showformat='${{Package}} ${{Version}}\\n' {packages}"
    ),
    "redhat": (
        "dnf --assumeyes --quiet --setopt=install_weak_deps=False install {packages} >/dev/null; "
        "rpm --query --queryformat='%{{NAME}} %{{VERSION}}-%{{RELEASE}}\\n' {packages}"
    ),
}


@dataclass(frozen=True)
class Available(Result):
    """The packages of the lab's bundle with their versions."""

    bundle: str
    packages: Mapping[str, str]
    schema = "labctl/packages-list/v1"


@dataclass(frozen=True)
class Served(Result):
    """What the nodes fetched while the bundle was served."""

    bundle: str
    requests: int
    bytes_sent: int
    schema = "labctl/packages-serve/v1"


@dataclass(frozen=True)
class Installed(Result):
    """The result on each node: its `stdout` has the installed versions, one package a line."""

    bundle: str
    packages: tuple[str, ...]
    nodes: tuple[NodeResult, ...]
    schema = "labctl/packages-install/v1"

    @property
    def ok(self) -> bool:
        return all(result.code == 0 for result in self.nodes)


def available(lab: Lab) -> Available:
    """The packages of the bundle for this lab's guest. Raises SpecError, HostError when the lab has no bundle."""
    bundle = known_bundle(lab)
    return Available(bundle.id, dict(sorted(_packages(lab, bundle).items())))


def serve(lab: Lab, emit: Emit) -> Served:
    """Serve the bundle to the nodes until the user interrupts; raises as `install` does."""
    bundle = known_bundle(lab)
    with exclusive_lock(lab.directory, "packages serve"):
        running_nodes(lab, "all")
        title = f"Serve {bundle.id} at {lab.plan.source.url} until Ctrl-C"
        with (
            serve_bundle(bundle, lab.plan, lab.directory) as served,
            phase(emit, "packages", title),
            suppress(KeyboardInterrupt),
        ):
            by_hand = "apt-get update && sudo apt-get install" if _family(lab) == "debian" else "dnf install"
            emit(Note(phase="packages", text=f"on any node: sudo {by_hand} PACKAGE"))
            threading.Event().wait()
    return Served(bundle.id, sum(served.requests.values()), served.bytes_sent)


def preview(lab: Lab, pattern: str, names: Sequence[str]) -> list[str]:
    """What `install` would do, in sentences; raises as it does."""
    bundle = _check(lab, names)
    nodes = [node.name for node in select_nodes(lab.plan, pattern)]
    return [f"install {', '.join(names)} from {bundle.id} on {node}" for node in nodes]


def install(lab: Lab, pattern: str, names: Sequence[str], emit: Emit) -> Installed:
    """Install packages of the bundle on the selected nodes, all at once; the bundle is served meanwhile.

    Raises SpecError for a lab without a bundle, an unknown package or node, HostError, ProviderError, LockedError.
    """
    bundle = _check(lab, names)
    title = f"Install {', '.join(names)}"
    command = f"sudo sh -euc {shlex.quote(_INSTALL[_family(lab)].format(packages=shlex.join(names)))}"
    with changing(lab.directory, "packages install", emit, {"packages": list(names), "nodes": pattern}) as emit:
        nodes = running_nodes(lab, pattern)

        def emit_result(result: NodeResult) -> None:
            emit(Step(phase="packages", node=result.node, name=title, status="failed" if result.code else "ok"))

        with serve_bundle(bundle, lab.plan, lab.directory), phase(emit, "packages", title, steps=len(nodes)):
            done = run_on_nodes(lab, pattern, command, timeout=TIMEOUT_SECONDS, on_result=emit_result, nodes=nodes)
    return Installed(bundle.id, tuple(names), done.nodes)


def _check(lab: Lab, names: Sequence[str]) -> BundleInfo:
    """The bundle, after a look whether it has all these packages; a RedHat guest may find more in its own sources."""
    bundle = known_bundle(lab)
    packages = _packages(lab, bundle)
    unknown = [name for name in names if name not in packages]
    if unknown and _family(lab) == "debian":
        near = difflib.get_close_matches(unknown[0], packages, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        what = f"the bundle {bundle.id} has no package {', '.join(unknown)}"
        raise SpecError(what, fix=f"{hint}labctl packages list   (shows all that it has)")
    return bundle


def _packages(lab: Lab, bundle: BundleInfo) -> Mapping[str, str]:
    return bundle.packages if _family(lab) == "debian" else bundle.rpms


def _family(lab: Lab) -> str:
    guest = catalog.load().guest(lab.plan.guest)
    return guest.family if guest else "debian"
