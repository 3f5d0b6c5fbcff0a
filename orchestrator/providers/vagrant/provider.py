"""Machines through Vagrant, for VirtualBox and libvirt: Vagrant makes them, the hypervisor says what there is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from orchestrator import proc
from orchestrator.errors import LabError, Problem, ProviderError
from orchestrator.events import Emit, Note, Step
from orchestrator.model import Capabilities, Node, NodePlan, Plan, ProviderName
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers import ssh_bootstrap as first_contact
from orchestrator.providers.base import LabIdentity, unusable
from orchestrator.providers.vagrant import box_build, boxes, vagrantfile
from orchestrator.providers.vagrant import output as vagrant_output
from orchestrator.providers.vagrant import preflight as vagrant_preflight
from orchestrator.providers.vagrant import snapshots as vagrant_snapshots
from orchestrator.providers.vagrant.hypervisor import Hypervisor, Machine

UP_SECONDS = 3600
DESTROY_SECONDS = 600
STOP_SECONDS = 60
READY_SECONDS = 120
THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


class VagrantProvider:
    """Virtual machines of one hypervisor."""

    def __init__(self, name: ProviderName, hypervisor: Hypervisor) -> None:
        self._name = name
        self._hypervisor = hypervisor

    @property
    def name(self) -> ProviderName:
        return self._name

    def capabilities(self, plan: Plan | None = None) -> Capabilities:
        """A virtual machine owns everything that a real one does."""
        return Capabilities(
            own_kernel=True,
            own_swap=True,
            own_modules=True,
            own_conntrack_limits=True,
            selinux=True,
            snapshot=True,
            cgroup="v2",
            emulated=self._hypervisor.emulates(),
        )

    def preflight(self, plan: Plan) -> list[Problem]:
        """Every reason why `create` could not succeed; starts nothing."""
        return vagrant_preflight.problems(plan, self._hypervisor)

    def prepare(self, emit: Emit, phase: str) -> None:
        """Make sure that the hypervisor answers."""
        self._hypervisor.open(emit, phase)

    def create(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Make what is missing, make anew what was left half-made, change sizes; return when SSH works everywhere."""
        self._hypervisor.open(emit, phase)
        ssh_access.ensure_key(lab)
        self._remove_half_made(plan, lab, emit, phase)
        there = self._of(plan)
        if len(there) < len(plan.nodes):
            self._ensure_box(plan, emit, phase)
        self._write_vagrantfile(plan, lab)
        self._relink(lab, there.values())
        reshaped = [
            node.name
            for node in plan.nodes
            if (found := there.get(node.name)) and (found.cpus, found.memory) != (node.cpus, node.memory)
        ]
        absent = [node.name for node in plan.nodes if node.name not in there or there[node.name].state != "running"]
        if running := [name for name in reshaped if name not in absent]:
            emit(Note(phase=phase, text=f"restarting {', '.join(running)}: CPUs or memory changed"))
            self._vagrant(plan, lab, ["reload", "--no-provision", *running], emit, phase)
        if absent:
            self._up(plan, lab, absent, emit, phase)
        return self._reach(plan, lab, emit, phase)

    def start(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Start stopped machines; return when SSH works."""
        self._hypervisor.open(emit, phase)
        there = self._of(plan)
        if missing := [node.name for node in plan.nodes if node.name not in there]:
            raise ProviderError(f"{', '.join(missing)} does not exist", fix="labctl provision")
        self._relink(lab, there.values())
        if stopped := [name for name, machine in there.items() if machine.state != "running"]:
            self._up(plan, lab, stopped, emit, phase)
        return self._reach(plan, lab, emit, phase)

    def nodes(self, plan: Plan) -> list[Node]:
        """The plan's nodes as the hypervisor reports them."""
        there = self._of(plan)
        return [self._node(node, there.get(node.name)) for node in plan.nodes]

    def halt(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Shut the machines down, all at once."""

        def one(machine: Machine) -> None:
            emit(Step(phase=phase, node=machine.node, name="stop the machine", status="running"))
            self._hypervisor.stop(machine, STOP_SECONDS)
            emit(Step(phase=phase, node=machine.node, name="stop the machine", status="changed"))

        _together(one, [machine for machine in self._of(plan).values() if machine.state == "running"])

    def remove_nodes(self, plan: Plan, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Remove some machines with their disks, and what Vagrant notes about them."""
        directory = LabDir(Path(plan.owner) / ".labctl" / plan.name)
        for name, machine in self._of(plan).items():
            if name in names:
                self._remove(machine, emit, phase)
                shutil.rmtree(self._notes(directory, name).parent, ignore_errors=True)

    def save(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> int:
        """Shut the machines down, keep all their disks, boot those that ran again."""
        self._hypervisor.open(emit, phase)
        if found := unusable(self.nodes(plan)):
            raise ProviderError("the lab cannot be saved as it is", problems=found)
        there = self._of(plan)
        self._relink(lab, there.values())
        ran = [machine.node for machine in there.values() if machine.state == "running"]
        self.halt(plan, emit, phase)
        tag = vagrant_snapshots.PREFIX + snapshot
        try:
            self._vagrant(plan, lab, ["snapshot", "save", tag], emit, phase)
        except BaseException:
            with contextlib.suppress(LabError):
                self._drop_snapshots(plan, lab, [tag], emit, phase)
            raise
        finally:
            if ran:
                self._up(plan, lab, ran, emit, phase)
        if len(ran) == len(plan.nodes):
            self._reach(plan, lab, emit, phase)
        return 0

    def restore(self, plan: Plan, lab: LabDir, snapshot: str, emit: Emit, phase: str) -> list[Node]:
        """Turn all disks back and boot."""
        self._hypervisor.open(emit, phase)
        there = self._of(plan)
        vagrant_snapshots.refuse_other_machines(plan, there.values())
        self._relink(lab, there.values())
        names = [node.name for node in plan.nodes]
        self.remove_nodes(plan, [name for name in there if name not in names], emit, phase)
        self.halt(plan, emit, phase)
        words = ["snapshot", "restore", "--no-provision", "--no-start", vagrant_snapshots.PREFIX + snapshot]
        self._vagrant(plan, lab, words, emit, phase)
        return self.start(plan, lab, emit, phase)

    def forget(self, plan: Plan, lab: LabDir, kept: Collection[str], emit: Emit, phase: str) -> None:
        """Delete those of labctl's snapshots that are not kept."""
        if self._hypervisor.answers() and self._of(plan):
            listed = proc.run(
                ["vagrant", "snapshot", "list", "--machine-readable"],
                timeout=STOP_SECONDS,
                check=False,
                env=self.environment(lab),
                cwd=lab.root,
            )
            names = vagrant_snapshots.names_in(listed.stdout)
            self._drop_snapshots(plan, lab, vagrant_snapshots.unkept(set(names), kept), emit, phase)

    def destroy(self, identity: LabIdentity, emit: Emit, phase: str) -> None:
        """Remove every machine, network and disk of the lab: Vagrant first, then whatever the hypervisor still has."""
        machines = self._hypervisor.machines(identity.uuid)
        if machines or self._hypervisor.traces(identity):
            self._hypervisor.open(emit, phase)
        lab = LabDir(Path(identity.owner) / ".labctl" / identity.name)
        if machines and self._is_state_of(lab, identity):
            # Only so that Vagrant's own records are clean; what it leaves or refuses is removed below.
            with contextlib.suppress(LabError):
                self._vagrant_verb(lab, ["destroy", "-f"], [m.node for m in machines], emit, phase, DESTROY_SECONDS)
        for machine in self._hypervisor.machines(identity.uuid):
            self._remove(machine, emit, phase)
        if self._hypervisor.answers():
            for what in self._hypervisor.remove_networks(identity):
                emit(Step(phase=phase, name=f"remove {what}", status="changed"))

    def find_labs(self) -> list[LabIdentity]:
        """Labs by the identity that the hypervisor's machines carry."""
        found = {machine.lab.uuid: machine.lab for machine in self._hypervisor.machines()}
        return sorted(found.values(), key=lambda lab: (lab.name, lab.uuid))

    def close(self, emit: Emit, phase: str) -> None:
        """Let go of the hypervisor; a daemon that labctl started ends with the last lab."""
        self._hypervisor.close(emit, phase)

    # Inside.

    def _drop_snapshots(self, plan: Plan, lab: LabDir, tags: Iterable[str], emit: Emit, phase: str) -> None:
        for tag in tags:
            self._vagrant(plan, lab, ["snapshot", "delete", tag], emit, phase)

    def _of(self, plan: Plan) -> dict[str, Machine]:
        return {machine.node: machine for machine in self._hypervisor.machines(plan.uuid)}

    def _node(self, planned: NodePlan, machine: Machine | None) -> Node:
        """A node with its way in: the SSH forward as it really is, or, with libvirt, its own address."""
        direct = self._name == "libvirt"
        host = planned.address if direct else "127.0.0.1"
        port = 22 if direct else (machine.ssh_port if machine else 0) or planned.ssh_port
        if machine is None:
            return Node(planned.name, "missing", ssh_host=host, ssh_port=port)
        if machine.state == "running" and not machine.host_keys:
            detail = "it was never finished; labctl provision makes it anew"
            return Node(planned.name, "broken", ssh_host=host, ssh_port=port, detail=detail)
        return Node(planned.name, machine.state, ssh_host=host, ssh_port=port, host_keys=machine.host_keys)

    def _remove_half_made(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> None:
        """A machine without a pinned host key was never finished, and nothing says how far it got: it goes."""
        for name, machine in self._of(plan).items():
            if not machine.host_keys or machine.state == "broken":
                emit(Note(phase=phase, text=f"{name} was left half-made: making it anew"))
                self._remove(machine, emit, phase)
                shutil.rmtree(self._notes(lab, name), ignore_errors=True)
        for what in self._hypervisor.clear(plan):
            emit(Note(phase=phase, text=f"removed {what}, which belonged to no machine"))

    def _ensure_box(self, plan: Plan, emit: Emit, phase: str) -> None:
        """Build the box of new machines where nobody has one and labctl can."""
        known = boxes.choose(plan).name in vagrant_preflight.boxes_of_vagrant(plan)
        if not known and box_build.due(plan.guest, plan.provider):
            box_build.build(emit, phase)

    def _write_vagrantfile(self, plan: Plan, lab: LabDir) -> None:
        text = vagrantfile.render(plan, boxes.choose(plan), self._hypervisor.settings(plan))
        fresh = lab.root / f".Vagrantfile.{os.getpid()}"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(lab.root / "Vagrantfile")

    def _notes(self, lab: LabDir, node: str) -> Path:
        """Where Vagrant keeps what it knows of a machine."""
        return lab.root / ".vagrant" / "machines" / node / self._name

    def _relink(self, lab: LabDir, machines: Iterable[Machine]) -> None:
        """Tell Vagrant again of machines whose notes it lost, so that it neither makes them twice nor forgets them."""
        for machine in machines:
            notes = self._notes(lab, machine.node)
            if not (notes / "id").exists():
                notes.mkdir(parents=True, exist_ok=True)
                (notes / "id").write_text(machine.id, encoding="ascii")
                (notes / "creator_uid").write_text(str(os.getuid()), encoding="ascii")
            if not (notes / "private_key").exists():
                shutil.copyfile(lab.private_key, notes / "private_key")
                (notes / "private_key").chmod(0o600)

    def _up(self, plan: Plan, lab: LabDir, names: Sequence[str], emit: Emit, phase: str) -> None:
        """Boot machines; what came up although another failed is finished all the same, so that it stays."""
        parallel = "--parallel" if self._name == "libvirt" else "--no-parallel"
        words = ["up", "--no-provision", parallel, f"--provider={self._name}", *names]
        try:
            self._vagrant(plan, lab, words, emit, phase)
        except LabError:
            with contextlib.suppress(LabError):
                self._finish(plan, lab, emit, phase, seconds=5)
            raise

    def _vagrant(self, plan: Plan, lab: LabDir, words: Sequence[str], emit: Emit, phase: str) -> None:
        self._vagrant_verb(lab, words, [node.name for node in plan.nodes], emit, phase, UP_SECONDS)

    def _vagrant_verb(
        self, lab: LabDir, words: Sequence[str], names: Sequence[str], emit: Emit, phase: str, seconds: float
    ) -> None:
        """Run Vagrant in the lab's directory, its output as steps. Raises ProviderError with cause, fix and log."""
        reader = vagrant_output.Reader(phase, names)
        log = lab.root / "vagrant.log"

        def line(text: str) -> None:
            if step := reader.step(text):
                emit(step)

        try:
            result = proc.stream(
                ["vagrant", *words, "--machine-readable"],
                line,
                timeout=seconds,
                log=log,
                check=False,
                env=self.environment(lab),
                cwd=lab.root,
            )
        except proc.ProcessFailed as problem:
            raise ProviderError(f"vagrant {words[0]}: {problem}", fix="labctl provision", log=log) from problem
        if not result.ok:
            error = vagrant_output.failure(words[0], "\n".join(reader.errors) or result.tail, reader.failed_node)
            error.log = log
            raise error

    def environment(self, lab: LabDir) -> dict[str, str]:
        """What Vagrant is told besides its command line; the user's own settings must not lead it elsewhere."""
        return {
            "VAGRANT_CWD": str(lab.root),
            "VAGRANT_DOTFILE_PATH": ".vagrant",
            "VAGRANT_VAGRANTFILE": "Vagrantfile",
            "VAGRANT_DEFAULT_PROVIDER": self._name,
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }

    def _finish(self, plan: Plan, lab: LabDir, emit: Emit, phase: str, seconds: float) -> None:
        """Let the lab's key into machines that are new, and pin their host keys."""
        public_key = ssh_access.ensure_key(lab)

        def one(planned: NodePlan) -> None:
            machine = there.get(planned.name)
            if machine is None or machine.state != "running" or machine.host_keys:
                return
            node = self._node(planned, machine)
            own_key = self._notes(lab, planned.name) / "private_key"
            keys = first_contact.introduce(
                node, planned.address, own_key, public_key, self._hypervisor.host_keys(machine), seconds
            )
            self._hypervisor.pin(machine, keys)
            emit(Step(phase=phase, node=planned.name, name="pin its host key", status="changed"))

        there = self._of(plan)
        _together(one, plan.nodes)

    def _reach(self, plan: Plan, lab: LabDir, emit: Emit, phase: str) -> list[Node]:
        """Wait until every machine answers on SSH with its pinned key and lets the lab in."""
        self._finish(plan, lab, emit, phase, READY_SECONDS)
        nodes = self.nodes(plan)
        ssh_access.write_known_hosts(lab, nodes)
        deadline = time.monotonic() + READY_SECONDS

        def one(node: Node) -> None:
            if node.state != "running":
                raise ProviderError(f"{node.name} is {node.state}: {node.detail}", fix="labctl provision")
            argv = ssh_access.ssh_argv(lab, node, command=["true"], shared=False)
            while not (result := proc.run(argv, check=False, timeout=60)).ok:
                if "HOST IDENTIFICATION HAS CHANGED" in result.stderr or "verification failed" in result.stderr:
                    raise ProviderError(
                        f"{node.name} answers with another host key than the one pinned when it was made",
                        fix="if it was replaced on purpose: labctl destroy, then provision",
                    )
                if time.monotonic() > deadline:
                    raise ProviderError(f"{node.name} does not answer on SSH: {result.tail}", fix="labctl provision")
                time.sleep(0.5)
            emit(Step(phase=phase, node=node.name, name="reach the machine by SSH", status="ok"))

        _together(one, nodes)
        return nodes

    def _remove(self, machine: Machine, emit: Emit, phase: str) -> None:
        self._hypervisor.remove(machine)
        emit(Step(phase=phase, node=machine.node, name="remove the machine", status="changed"))

    def _is_state_of(self, lab: LabDir, identity: LabIdentity) -> bool:
        """Whether a state directory is still this lab's, and Vagrant could work in it."""
        try:
            kept = json.loads(lab.identity.read_text(encoding="utf-8"))["uuid"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        there = (lab.root / "Vagrantfile").exists() and (lab.root / ".vagrant").exists()
        return bool(kept == identity.uuid and there and shutil.which("vagrant"))


def _together(action: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do one thing to all items at the same time; every one is finished before the first failure is raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(action, item) for item in items]
    return [future.result() for future in futures]
