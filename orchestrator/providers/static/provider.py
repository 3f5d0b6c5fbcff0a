"""Machines that are there already, listed in lab.yml: reached by SSH, never made, never removed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from orchestrator import paths, proc
from orchestrator.errors import Problem, ProviderError
from orchestrator.events import Emit, Note, Step
from orchestrator.model import Capabilities, Node, NodePlan, Plan, ProviderName, StaticHost
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.base import LabIdentity, of_containers
from orchestrator.ssh_options import as_arguments, session_options

SCAN_SECONDS = 10
RESET_SECONDS = 300
# Prints "none" and fails on a machine with a kernel of its own.
_KIND = "systemd-detect-virt --container || true"
THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


def fingerprint(key: str) -> str:
    """The SHA256 fingerprint of a public key (`ssh-ed25519 AAAA...`), as ssh-keygen prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def keys_of_scan(text: str) -> tuple[str, ...]:
    """The public keys in the output of ssh-keyscan."""
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(f"{row[1]} {row[2]}" for row in rows if len(row) >= 3)


class StaticProvider:
    """The hosts that the plan lists."""

    name: ProviderName = "static"

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """A machine of the user owns everything, unless lab.yml says that it is a container."""
        no_snapshot = {"snapshot": "labctl did not make these machines and cannot turn their disks back"}
        if plan is not None and plan.static_shared_kernel:
            shared = of_containers("the machines are containers and share their host's kernel")
            return replace(shared, reasons={**shared.reasons, **no_snapshot})
        return Capabilities(
            own_kernel=True,
            own_swap=True,
            own_modules=True,
            own_conntrack_limits=True,
            selinux=True,
            snapshot=False,
            cgroup="v2",
            reasons=no_snapshot,
        )

    def preflight(self, plan: Plan) -> list[Problem]:
        """Machines that do not answer, or with another host key than the one lab.yml names."""

        def one(pair: tuple[NodePlan, StaticHost]) -> Problem | None:
            node, host = pair
            where = f"{node.name} ({host.address}:{host.port})"
            offered = self._scan(host)
            if not offered:
                return Problem("does not answer on SSH", where, f"ssh -p {host.port} {host.user}@{host.address}")
            if not self._matching(offered, host):
                return Problem(
                    _changed(offered, host), where, "compare with the machine's own console, then change lab.yml"
                )
            return None

        return [problem for problem in _together(one, _pairs(plan)) if problem]

    def prepare(self, emit: Emit, phase: str) -> None:
        """Nothing is shared by labs of this kind."""

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Let the lab's key into every machine, each checked against its fingerprint first."""
        public_key = ssh_access.ensure_key(lab)
        nodes = self.nodes(plan)
        for node in nodes:
            if node.state != "running":
                raise ProviderError(
                    f"{node.name} {node.detail}", fix="labctl plan; then correct static.hosts in lab.yml"
                )
        ssh_access.write_known_hosts(lab, nodes)

        def one(node: Node) -> None:
            changed = self._admit(node, lab, public_key, plan)
            emit(Step(phase=phase, node=node.name, name="let the lab in", status="changed" if changed else "ok"))

        _together(one, nodes)
        return nodes

    def nodes(self, plan: Plan) -> list[Node]:
        """Each host as it answers now; a host key that is not the one lab.yml names makes it broken."""

        def one(pair: tuple[NodePlan, StaticHost]) -> Node:
            node, host = pair
            offered = self._scan(host)
            keys = self._matching(offered, host)
            state, detail = "running", ""
            if not offered:
                state, detail = "stopped", f"does not answer on {host.address}:{host.port}"
            elif not keys:
                state, detail = "broken", _changed(offered, host)
            return Node(
                node.name,
                state,  # type: ignore[arg-type]
                ssh_host=host.address,
                ssh_port=host.port,
                ssh_user=host.user,
                host_keys=keys,
                detail=detail,
            )

        return _together(one, _pairs(plan))

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Nothing can be started from here; say which machines are off."""
        nodes = self.nodes(plan)
        if off := [node.name for node in nodes if node.state != "running"]:
            raise ProviderError(f"{', '.join(off)} does not answer", fix="switch it on, then: labctl provision")
        return nodes

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Refuse: machines that labctl cannot start again are not switched off by it."""
        raise ProviderError(
            "machines of the provider static are not switched off", fix="labctl ssh NODE -- sudo poweroff"
        )

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Take Kubernetes and the lab's key off some machines; the machines stay."""
        lab = LabDir(Path(plan.owner) / ".labctl" / plan.name)
        self._reset([node for node in self.nodes(plan) if node.name in names], lab, plan, emit, phase)

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Not for machines of the user."""
        raise ProviderError(self.capabilities().reasons["snapshot"], fix="snapshot them where they were made")

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Not for machines of the user."""
        raise ProviderError(self.capabilities().reasons["snapshot"], fix="restore them where they were made")

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """There is never a snapshot."""

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Take Kubernetes and the lab's key off every machine; the machines stay."""
        lab = LabDir(Path(identity.owner) / ".labctl" / identity.name)
        try:
            plan = Plan.from_json(lab.plan.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if plan.uuid == identity.uuid:
            self._reset(self.nodes(plan), lab, plan, emit, phase)

    def find_labs(self) -> list[LabIdentity]:
        """None: machines of somebody else carry no labels of ours."""
        return []

    def close(self, emit: Emit, phase: str) -> None:
        """Nothing was opened."""

    # Inside.

    def _scan(self, host: StaticHost) -> tuple[str, ...]:
        """The public host keys a machine offers; none when it does not answer."""
        argv = ["ssh-keyscan", "-T", str(SCAN_SECONDS), "-p", str(host.port), host.address]
        with contextlib.suppress(proc.ProcessFailed):
            return keys_of_scan(proc.run(argv, check=False, timeout=SCAN_SECONDS * 3).stdout)
        return ()

    def _matching(self, offered: Iterable[str], host: StaticHost) -> tuple[str, ...]:
        return tuple(key for key in offered if fingerprint(key) == host.fingerprint)

    def _admit(self, node: Node, lab: LabDir, public_key: str, plan: Plan) -> bool:
        """Let the lab's key in unless it is in already; the user's own key is used once for that.

        Before anything on the machine changes, it has to be of the kind that lab.yml says.
        """
        ours = proc.run(ssh_access.ssh_argv(lab, node, command=[_KIND], shared=False), check=False, timeout=60)
        if ours.ok:
            refuse_other_kind(node, ours.stdout.strip(), plan)
            return False
        kind = self._as_owner(node, lab, _KIND, plan.static_key)
        refuse_other_kind(node, kind, plan)
        script = (
            "umask 077; mkdir -p ~/.ssh; touch ~/.ssh/authorized_keys; "
            f"grep -qxF '{public_key}' ~/.ssh/authorized_keys || echo '{public_key}' >> ~/.ssh/authorized_keys; "
            "sudo -n true"
        )
        self._as_owner(node, lab, script, plan.static_key)
        return True

    def _as_owner(self, node: Node, lab: LabDir, script: str, key: str | None) -> str:
        """What a script prints that runs with the user's own key. Raises ProviderError when that is not let in."""
        # The user's own ssh configuration and agent apply: this is his login, not the lab's.
        options = session_options(None, lab.known_hosts) | {"BatchMode": "yes"}
        options |= {"IdentityFile": str(Path(key).expanduser()), "IdentitiesOnly": "yes"} if key else {}
        argv = ["ssh", *as_arguments(options), *ssh_access.destination(node), script]
        result = proc.run(argv, check=False, timeout=60)
        if not result.ok:
            raise ProviderError(
                f"{node.name} does not let this host in, or {node.ssh_user} has no passwordless sudo: {result.tail}",
                fix=f"`ssh -p {node.ssh_port} {node.ssh_user}@{node.ssh_host} sudo -n true` must work; see static.key",
            )
        return result.stdout.strip()

    def _reset(self, nodes: Sequence[Node], lab: LabDir, plan: Plan, emit: Emit, phase: str) -> None:
        public_key = ssh_access.ensure_key(lab)

        def one(node: Node) -> None:
            if node.state != "running":
                emit(Note(phase=phase, node=node.name, text=f"{node.name} {node.detail}: left as it is"))
                return
            script = farewell(node.ssh_user, public_key, plan)
            argv = ssh_access.ssh_argv(lab, node, command=["sudo sh -s"], shared=False)
            result = proc.run(argv, check=False, timeout=RESET_SECONDS, stdin=script)
            status = "changed" if result.ok else "failed"
            emit(Step(phase=phase, node=node.name, name="take Kubernetes and the lab off", status=status))
            if not result.ok:
                emit(Note(phase=phase, node=node.name, text=f"{node.name} may keep some of it: {result.tail}"))

        _together(one, nodes)


def farewell(user: str, public_key: str, plan: Plan) -> str:
    """The script of root that takes Kubernetes and the lab off a machine; its packages and images stay.

    In one connection: nobody lets the lab in again once its key is gone.
    """
    files = paths.data("playbooks", "files")
    leave, reset = ((files / name).read_text(encoding="utf-8") for name in ("leave.sh", "reset.sh"))
    socket = plan.kubernetes.cri_socket if plan.kubernetes else ""
    told = f"set -- {shlex.quote(user)} {shlex.quote(public_key.split()[1])}\nCRI_SOCKET={shlex.quote(socket)}\n"
    return f"{told}(\n{leave})\nleft=$?\n(\n{reset})\nexit $(($? + left))\n"


def refuse_other_kind(node: Node, kind: str, plan: Plan) -> None:
    """Raise ProviderError for a container where lab.yml lists machines, and the reverse.

    On a container that is taken for a machine the roles would turn off the swap of its host. `kind` is what
    systemd-detect-virt calls it, "none" for a machine, empty without systemd.
    """
    if not kind:
        raise ProviderError(
            f"{node.name} does not say whether it is a container: it has no systemd",
            fix="list machines that run systemd, which Kubernetes' packages need",
        )
    if kind != "none" and not plan.static_shared_kernel:
        raise ProviderError(
            f"{node.name} is a container ({kind}): swap, modules and SELinux there are those of its host",
            fix="static: {shared_kernel: true} in lab.yml leaves them alone; then labctl provision",
        )
    if kind == "none" and plan.static_shared_kernel:
        raise ProviderError(
            f"{node.name} has a kernel of its own, and lab.yml says static.shared_kernel",
            fix="static: {shared_kernel: false} in lab.yml; containers and machines make two labs",
        )


def _pairs(plan: Plan) -> list[tuple[NodePlan, StaticHost]]:
    return list(zip(plan.nodes, plan.static_hosts, strict=True))


def _changed(offered: Iterable[str], host: StaticHost) -> str:
    found = ", ".join(fingerprint(key) for key in offered)
    return f"answers with another host key than lab.yml names: {found}, not {host.fingerprint}"


def _together(action: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do one thing to all items at the same time; every one is finished before the first failure is raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(action, item) for item in items]
    return [future.result() for future in futures]
