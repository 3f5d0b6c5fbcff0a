"""Machines through Vagrant, for VirtualBox and libvirt: Vagrant makes them, the hypervisor reports what exists."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator.checks.host import HostCheck
from orchestrator.errors import LabError, Problem, ProviderError
from orchestrator.events import Emit, Note, Step
from orchestrator.model import Capabilities, Node, NodePlan, Plan
from orchestrator.observed import ProviderTraits
from orchestrator.paths import LabDir, write_private
from orchestrator.providers import base, ssh_access, ssh_bootstrap
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.providers.vagrant import box_build, boxes, command, preflight, vagrantfile
from orchestrator.providers.vagrant.hypervisor import Hypervisor, Machine
from orchestrator.spec import Spec

DESTROY_SECONDS = 600
STOP_SECONDS = 60
READY_SECONDS = 120


class VagrantProvider(Provider):
    """Virtual machines of one hypervisor."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self.name = hypervisor.name
        self.traits = ProviderTraits(
            hypervisor.sizing,
            adapters=hypervisor.adapters,
            has_boxes=True,
            mounts="copy",
            forwards=hypervisor.forwards,
        )

    def obstacle(self) -> Problem | None:
        """The first program of the hypervisor's that is not installed, or what else no machine starts without."""
        for program, fix in self._hypervisor.programs.items():
            if shutil.which(program) is None:
                return Problem(f"{program} is not installed", "this host", fix)
        return self._hypervisor.obstacle()

    def only_named(self) -> str:
        return self._hypervisor.only_named()

    def host_checks(self, spec: Spec, existing: Plan | None) -> Sequence[HostCheck]:
        return self._hypervisor.host_checks(spec, existing)

    def missing_packages(self, guest: str) -> Sequence[str]:
        return self._hypervisor.missing_packages(guest)

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """A virtual machine owns everything that a real one does."""
        return Capabilities(emulated=self._hypervisor.is_emulated())

    def ssh_endpoint(self, plan: Plan, node: NodePlan) -> tuple[str, str, int]:
        """A forward on 127.0.0.1, or the machine's own address."""
        return super().ssh_endpoint(plan, node) if self._hypervisor.forwards else ("vagrant", node.address, 22)

    def rendering(self, plan: Plan, to: Path) -> base.Rendering:
        """The Vagrantfile, and whether its box can be had."""
        box = boxes.obstacle(plan)
        start = f"machines without Kubernetes: cd {to} && vagrant up --provider={self.name}"
        text = vagrantfile.render(plan, boxes.choose(plan))
        return base.Rendering({"Vagrantfile": text}, (start, *([str(box)] if box else [])))

    def preflight(self, plan: Plan) -> list[Problem]:
        """Every reason why `create` could not succeed; starts nothing."""
        return preflight.problems(plan, self._hypervisor)

    def prepare(self, emit: Emit, phase: str) -> None:
        """Make sure that the hypervisor answers."""
        self._hypervisor.open(emit, phase)

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str, baked: str = "") -> list[Node]:
        """Make what is missing, recreate what is incomplete, change sizes; return when SSH works everywhere."""
        self._hypervisor.open(emit, phase)
        ssh_access.ensure_key(lab)
        self._remove_incomplete(plan, lab, emit, phase)
        existing = self._machines(plan)
        if len(existing) < len(plan.nodes):
            box_build.ensure(plan, emit, phase)
        text = vagrantfile.render(plan, boxes.choose(plan), self._hypervisor.settings(plan))
        write_private(lab.root / "Vagrantfile", text)
        command.relink(self.name, lab, existing.values())
        running = [name for name, machine in existing.items() if machine.state == "running"]
        sizes = {name: (machine.cpus, machine.memory) for name, machine in existing.items()}
        resized = [
            node.name for node in plan.nodes if node.name in running and sizes[node.name] != (node.cpus, node.memory)
        ]
        if resized:
            emit(Note(phase=phase, text=f"restarting {', '.join(resized)}: CPUs or memory changed"))
            self._vagrant(plan, lab, emit, phase).run("reload", "--no-provision", *resized)
        if copied := [name for name in running if plan.mounts_of(name) and name not in resized]:
            self._vagrant(plan, lab, emit, phase).run("rsync", *copied)
        if absent := [node.name for node in plan.nodes if node.name not in running]:
            self._up(plan, lab, absent, emit, phase)
            self._replace_keyless(plan, lab, absent, emit, phase)
        return self._wait_for_login(plan, lab, emit, phase)

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Start stopped machines; return when SSH works."""
        self._hypervisor.open(emit, phase)
        existing = self._machines(plan)
        if missing := [node.name for node in plan.nodes if node.name not in existing]:
            raise ProviderError(f"{', '.join(missing)} does not exist", fix="labctl provision")
        command.relink(self.name, lab, existing.values())
        if stopped := [name for name, machine in existing.items() if machine.state != "running"]:
            self._up(plan, lab, stopped, emit, phase)
        return self._wait_for_login(plan, lab, emit, phase)

    def nodes(self, plan: Plan) -> list[Node]:
        """The plan's nodes as the hypervisor reports them."""
        existing = self._machines(plan)
        return [self._node(plan, node, existing.get(node.name)) for node in plan.nodes]

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Shut the machines down, all at once."""

        def stop(machine: Machine) -> None:
            with base.changing("stop the machine", machine.node, emit, phase):
                self._hypervisor.stop(machine, STOP_SECONDS)

        base.run_parallel(stop, [machine for machine in self._machines(plan).values() if machine.state == "running"])

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Remove some machines with their disks, and what Vagrant notes about them."""
        for name, machine in self._machines(plan).items():
            if name in names:
                self._remove(machine, emit, phase)
                shutil.rmtree(command.notes(self.name, base.identity(plan).directory, name).parent, ignore_errors=True)

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Shut the machines down, keep all their disks, boot those that ran again."""
        self._hypervisor.open(emit, phase)
        if problems := base.unusable(self.nodes(plan)):
            raise ProviderError("the lab cannot be saved as it is", problems=problems)
        existing = self._machines(plan)
        command.relink(self.name, lab, existing.values())
        ran = [machine.node for machine in existing.values() if machine.state == "running"]
        self.halt(plan, emit, phase)
        vagrant, tag = self._vagrant(plan, lab, emit, phase), command.SNAPSHOT_PREFIX + snapshot
        try:
            vagrant.run("snapshot", "save", tag)
        except BaseException:
            with contextlib.suppress(LabError):
                vagrant.run("snapshot", "delete", tag)
            raise
        finally:
            if ran:
                self._up(plan, lab, ran, emit, phase)
        if len(ran) == len(plan.nodes):
            self._wait_for_login(plan, lab, emit, phase)
        return 0

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Turn all disks back and boot."""
        self._hypervisor.open(emit, phase)
        existing = self._machines(plan)
        names = [node.name for node in plan.nodes]
        # The snapshot of a machine that is gone went with its disk.
        if gone := [name for name in names if name not in existing]:
            text = f"{', '.join(gone)} was removed since, and its part of the snapshot with it"
            raise ProviderError(text, fix="labctl snapshot list")
        command.relink(self.name, lab, existing.values())
        self.remove_nodes(plan, [name for name in existing if name not in names], emit, phase)
        self.halt(plan, emit, phase)
        vagrant = self._vagrant(plan, lab, emit, phase)
        vagrant.run("snapshot", "restore", "--no-provision", "--no-start", command.SNAPSHOT_PREFIX + snapshot)
        return self.start(plan, lab, emit, phase)

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """Delete those of labctl's snapshots that are not kept."""
        if self._hypervisor.answers() and self._machines(plan):
            vagrant = self._vagrant(plan, lab, emit, phase)
            for tag in command.unkept(vagrant.list_snapshots(), kept):
                vagrant.run("snapshot", "delete", tag)

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Remove every machine, network and disk of the lab: Vagrant first, then whatever the hypervisor still has."""
        machines = self._hypervisor.machines(identity.uuid)
        if machines or self._hypervisor.has_networks(identity):
            self._hypervisor.open(emit, phase)
        if machines and command.is_state_of(identity):
            vagrant = command.Vagrant(self.name, identity.directory, [m.node for m in machines], emit, phase)
            # Only so that Vagrant's own records are clean; what it leaves or refuses is removed below.
            with contextlib.suppress(LabError):
                vagrant.run("destroy", "-f", seconds=DESTROY_SECONDS)
        for machine in self._hypervisor.machines(identity.uuid):
            self._remove(machine, emit, phase)
        if self._hypervisor.answers():
            for what in self._hypervisor.remove_networks(identity):
                emit(Step(phase=phase, name=f"remove {what}", status="changed"))

    def find_labs(self) -> list[LabIdentity]:
        """Labs by the identity that the hypervisor's machines carry."""
        labs = {machine.lab.uuid: machine.lab for machine in self._hypervisor.machines()}
        return sorted(labs.values(), key=lambda lab: (lab.name, lab.uuid))

    def close(self, emit: Emit, phase: str) -> None:
        """Let go of the hypervisor; a daemon that labctl started ends with the last lab."""
        self._hypervisor.close(emit, phase)

    # Inside.

    def _vagrant(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> command.Vagrant:
        return command.Vagrant(self.name, lab, [node.name for node in plan.nodes], emit, phase)

    def _machines(self, plan: Plan) -> dict[str, Machine]:
        return {machine.node: machine for machine in self._hypervisor.machines(plan.uuid)}

    def _node(self, plan: Plan, planned: NodePlan, machine: Machine | None) -> Node:
        """A node with its SSH endpoint: the forward as it really is, or its own address."""
        user, address, port = self.ssh_endpoint(plan, planned)
        if machine is None:
            return Node(planned.name, "missing", address, port, user)
        port = machine.ssh_port or port
        if machine.state == "running" and not machine.host_keys:
            detail = "incomplete; labctl provision recreates it"
            return Node(planned.name, "broken", address, port, user, detail=detail)
        return Node(planned.name, machine.state, address, port, user, machine.host_keys)

    def _remove_incomplete(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> None:
        """Remove machines without a pinned host key: nothing says how far they got."""
        for name, machine in self._machines(plan).items():
            if not machine.host_keys or machine.state == "broken":
                emit(Note(phase=phase, text=f"{name} is incomplete: recreating"))
                self._remove(machine, emit, phase)
                shutil.rmtree(command.notes(self.name, lab, name), ignore_errors=True)
        for what in self._hypervisor.remove_leftovers(plan):
            emit(Note(phase=phase, text=f"removed {what}, which belonged to no machine"))

    def _up(self, plan: Plan, lab: LabDir, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Boot machines; what came up although another failed is finished all the same, so that it stays."""
        parallel = "--no-parallel" if self._hypervisor.forwards else "--parallel"
        vagrant = self._vagrant(plan, lab, emit, phase)
        try:
            vagrant.run("up", "--no-provision", parallel, f"--provider={self.name}", *names)
        except LabError:
            with contextlib.suppress(LabError):
                self._install_keys(plan, lab, emit, phase, seconds=5)
            raise

    def _replace_keyless(self, plan: Plan, lab: LabDir, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Make machines again that Vagrant left with the key of every box: it does when it misses their state once."""
        if keyless := command.without_own_key(self.name, lab, names):
            emit(Note(phase=phase, text=f"{', '.join(keyless)} got no key of its own from Vagrant: making it again"))
            self.remove_nodes(plan, keyless, emit, phase)
            self._up(plan, lab, keyless, emit, phase)

    def _install_keys(self, plan: Plan, lab: LabDir, emit: Emit, phase: str, seconds: float) -> None:
        """Let the lab's key into machines that are new, and pin their host keys."""
        public_key = ssh_access.ensure_key(lab)

        def install(planned: NodePlan) -> None:
            machine = existing.get(planned.name)
            if machine is None or machine.state != "running" or machine.host_keys:
                return
            node = self._node(plan, planned, machine)
            own_key = command.notes(self.name, lab, planned.name) / "private_key"
            expected = self._hypervisor.host_keys(machine)
            keys = ssh_bootstrap.install_key(node, planned.address, own_key, public_key, expected, seconds)
            self._hypervisor.pin(machine, keys)
            emit(Step(phase=phase, node=planned.name, name="pin its host key", status="changed"))

        existing = self._machines(plan)
        base.run_parallel(install, plan.nodes)

    def _wait_for_login(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Wait until every machine answers on SSH with its pinned key and lets the lab in."""
        self._install_keys(plan, lab, emit, phase, READY_SECONDS)
        nodes = self.nodes(plan)
        ssh_access.write_known_hosts(lab, nodes)
        deadline = time.monotonic() + READY_SECONDS

        def wait(node: Node) -> None:
            if node.state != "running":
                raise ProviderError(f"{node.name} is {node.state}: {node.detail}", fix="labctl provision")
            while (cause := ssh_access.login_failure(lab, node)) is not None:
                if ssh_access.is_host_key_mismatch(cause):
                    text = f"{node.name} answers with another host key than the one pinned when it was made"
                    raise ProviderError(text, fix="if it was replaced on purpose: labctl destroy, then provision")
                if time.monotonic() > deadline:
                    raise ProviderError(f"{node.name} does not answer on SSH: {cause}", fix="labctl provision")
                time.sleep(0.5)
            emit(Step(phase=phase, node=node.name, name="reach the machine by SSH", status="ok"))

        base.run_parallel(wait, nodes)
        return nodes

    def _remove(self, machine: Machine, emit: Emit, phase: str) -> None:
        self._hypervisor.remove(machine)
        emit(Step(phase=phase, node=machine.node, name="remove the machine", status="changed"))
