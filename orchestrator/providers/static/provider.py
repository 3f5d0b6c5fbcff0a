"""Machines that lab.yml lists: reached by SSH, never made, never removed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestrator import paths, proc
from orchestrator.errors import Problem, ProviderError
from orchestrator.events import Emit, Note, Step
from orchestrator.model import Capabilities, Node, NodePlan, Plan, ProviderName, StaticHost
from orchestrator.observed import ProviderTraits, Sizing
from orchestrator.paths import LabDir
from orchestrator.providers import base, ssh_access, ssh_bootstrap
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.ssh_options import as_arguments, session_options

SCAN_SECONDS = 10
RESET_SECONDS = 300
# Prints "none" and fails on a machine with a kernel of its own.
_KIND = "systemd-detect-virt --container || true"
_NO_SNAPSHOT = "labctl did not make these machines and cannot turn their disks back"


def make() -> Provider:
    """The provider."""
    return StaticProvider()


def fingerprint(key: str) -> str:
    """The SHA256 fingerprint of a public key (`ssh-ed25519 AAAA...`), as ssh-keygen prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


class StaticProvider(Provider):
    """The hosts that the plan lists."""

    name: ProviderName = "static"
    traits = ProviderTraits(Sizing(machine_memory=False, disk_lab=500), creates_machines=False)

    def only_named(self) -> str:
        return "it is for machines that you have: provider: static"

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """A machine of the user owns everything, unless lab.yml says that it is a container."""
        if plan is not None and plan.static_shared_kernel:
            shared = base.container_capabilities("the machines are containers and share their host's kernel")
            return replace(shared, snapshot=False, reasons={**shared.reasons, "snapshot": _NO_SNAPSHOT})
        return Capabilities(snapshot=False, reasons={"snapshot": _NO_SNAPSHOT})

    def ssh_endpoint(self, plan: Plan, node: NodePlan) -> tuple[str, str, int]:
        return plan.static_hosts[plan.nodes.index(node)].user, node.address, node.ssh_port

    def preflight(self, plan: Plan) -> list[Problem]:
        """Machines that do not answer, or with another host key than the one lab.yml names."""
        problems = []
        for node, host in zip(self.nodes(plan), plan.static_hosts, strict=True):
            where = f"{node.name} ({host.address}:{host.port})"
            if node.state == "stopped":
                fix = f"ssh -p {host.port} {host.user}@{host.address}"
                problems.append(Problem("does not answer on SSH", where, fix))
            elif node.state == "broken":
                fix = "compare with the machine's own console, then change lab.yml"
                problems.append(Problem(node.detail, where, fix))
        return problems

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str, baked: str = "") -> list[Node]:
        """Let the lab's key into every machine, each checked against its fingerprint first."""
        public_key = ssh_access.ensure_key(lab)
        nodes = self.nodes(plan)
        for node in nodes:
            if node.state != "running":
                fix = "labctl plan; then correct static.hosts in lab.yml"
                raise ProviderError(f"{node.name} {node.detail}", fix=fix)
        ssh_access.write_known_hosts(lab, nodes)

        def install_key(node: Node) -> None:
            changed = self._install_key(node, lab, public_key, plan)
            emit(Step(phase=phase, node=node.name, name="let the lab in", status="changed" if changed else "ok"))

        base.run_parallel(install_key, nodes)
        return nodes

    def nodes(self, plan: Plan) -> list[Node]:
        """Each host as it answers now; a host key that is not the one lab.yml names makes it broken."""
        return base.run_parallel(_observe, list(zip(plan.nodes, plan.static_hosts, strict=True)))

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Nothing can be started from here; say which machines are off."""
        nodes = self.nodes(plan)
        if off := [node.name for node in nodes if node.state != "running"]:
            raise ProviderError(f"{', '.join(off)} does not answer", fix="switch it on, then: labctl provision")
        return nodes

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Refuse: machines that labctl cannot start again are not switched off by it."""
        fix = "labctl ssh NODE -- sudo poweroff"
        raise ProviderError("machines of the provider static are not switched off", fix=fix)

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Take Kubernetes and the lab's key off some machines; the machines stay."""
        lab = base.identity(plan).directory
        nodes = [node for node in self.nodes(plan) if node.name in names]
        base.run_parallel(partial(_reset, lab, ssh_access.ensure_key(lab), plan, emit, phase), nodes)

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Not for machines of the user."""
        raise ProviderError(_NO_SNAPSHOT, fix="snapshot them where they were made")

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Not for machines of the user."""
        raise ProviderError(_NO_SNAPSHOT, fix="restore them where they were made")

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Take Kubernetes and the lab's key off every machine; the machines stay."""
        try:
            plan = Plan.from_json(identity.directory.plan.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if plan.uuid == identity.uuid:
            self.remove_nodes(plan, [node.name for node in plan.nodes], emit, phase)

    def find_labs(self) -> list[LabIdentity]:
        """None: machines of somebody else carry no labels of ours."""
        return []

    def _install_key(self, node: Node, lab: LabDir, public_key: str, plan: Plan) -> bool:
        """Let the lab's key in unless it is in already; the user's own key is used once for that.

        Before anything on the machine changes, it has to be of the kind that lab.yml says.
        """
        kind = proc.run(ssh_access.ssh_argv(lab, node, command=[_KIND], shared=False), check=False, timeout=60)
        if kind.ok:
            refuse_other_kind(node, kind.stdout.strip(), plan)
            return False
        refuse_other_kind(node, _run_as_owner(node, lab, _KIND, plan.static_key), plan)
        _run_as_owner(node, lab, f"{ssh_bootstrap.key_script(public_key)}sudo -n true", plan.static_key)
        return True


def _observe(pair: tuple[NodePlan, StaticHost]) -> Node:
    """A listed machine as it answers a scan of its host keys now."""
    plan, host = pair
    argv = ["ssh-keyscan", "-T", str(SCAN_SECONDS), "-p", str(host.port), host.address]
    offered: tuple[str, ...] = ()
    with contextlib.suppress(proc.ProcessFailed):
        offered = ssh_access.host_keys_in(proc.run(argv, check=False, timeout=SCAN_SECONDS * 3).stdout)
    keys = tuple(key for key in offered if fingerprint(key) == host.fingerprint)
    node = Node(plan.name, "running", host.address, host.port, host.user, keys)
    if not offered:
        return replace(node, state="stopped", detail=f"does not answer on {host.address}:{host.port}")
    if not keys:
        prints = ", ".join(map(fingerprint, offered))
        detail = f"answers with another host key than lab.yml names: {prints}, not {host.fingerprint}"
        return replace(node, state="broken", detail=detail)
    return node


def _run_as_owner(node: Node, lab: LabDir, script: str, key: str | None) -> str:
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


def _reset(lab: LabDir, public_key: str, plan: Plan, emit: Emit, phase: str, node: Node) -> None:
    if node.state != "running":
        emit(Note(phase=phase, node=node.name, text=f"{node.name} {node.detail}: left as it is"))
        return
    argv = ssh_access.ssh_argv(lab, node, command=["sudo sh -s"], shared=False)
    script = teardown_script(node.ssh_user, public_key, plan)
    result = proc.run(argv, check=False, timeout=RESET_SECONDS, stdin=script)
    status = "changed" if result.ok else "failed"
    emit(Step(phase=phase, node=node.name, name="take Kubernetes and the lab off", status=status))
    if not result.ok:
        emit(Note(phase=phase, node=node.name, text=f"{node.name} may keep some of it: {result.tail}"))


def teardown_script(user: str, public_key: str, plan: Plan) -> str:
    """The script of root that takes Kubernetes and the lab off a machine; its packages and images stay.

    In one connection: nobody lets the lab in again once its key is gone.
    """
    files = paths.data("playbooks", "files")
    leave, reset = ((files / name).read_text(encoding="utf-8") for name in ("leave.sh", "reset.sh"))
    socket = plan.kubernetes.cri_socket if plan.kubernetes else ""
    inputs = f"set -- {shlex.quote(user)} {shlex.quote(public_key.split()[1])}\nCRI_SOCKET={shlex.quote(socket)}\n"
    return f"{inputs}(\n{leave})\nleft=$?\n(\n{reset})\nexit $(($? + left))\n"


def refuse_other_kind(node: Node, kind: str, plan: Plan) -> None:
    """Raise ProviderError for a container where lab.yml lists machines, and the reverse.

    On a container that is taken for a machine the roles would turn off the swap of its host. `kind` is what
    systemd-detect-virt calls it, "none" for a machine, empty without systemd.
    """
    if not kind:
        text = f"{node.name} does not say whether it is a container: it has no systemd"
        raise ProviderError(text, fix="list machines that run systemd, which Kubernetes' packages need")
    if kind != "none" and not plan.static_shared_kernel:
        text = f"{node.name} is a container ({kind}): swap, modules and SELinux there are those of its host"
        fix = "static: {shared_kernel: true} in lab.yml leaves them alone; then labctl provision"
        raise ProviderError(text, fix=fix)
    if kind == "none" and plan.static_shared_kernel:
        text = f"{node.name} has a kernel of its own, and lab.yml says static.shared_kernel"
        fix = "static: {shared_kernel: false} in lab.yml; containers and machines make two labs"
        raise ProviderError(text, fix=fix)
