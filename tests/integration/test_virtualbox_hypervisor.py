"""VirtualBox asked directly, against tests/doubles/VBoxManage: labctl's machines are found, kept apart and removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from orchestrator import catalog, proc, spec
from orchestrator.events import discard
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant.command import relink
from orchestrator.providers.vagrant.provider import VagrantProvider
from orchestrator.providers.vagrant.virtualbox import VirtualBox

DOUBLES = Path(__file__).resolve().parents[1] / "doubles"


def manage(*words: str) -> str:
    return proc.run(["VBoxManage", *words]).stdout


@pytest.fixture(autouse=True)
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{DOUBLES}:{os.environ['PATH']}")
    monkeypatch.setenv("VBOXMANAGE_DOUBLE", str(tmp_path / "double"))


@pytest.fixture
def plan(observe: Callable[..., Observed], tmp_path: Path) -> Plan:
    file = tmp_path / "lab.yml"
    file.write_text("version: 1\nprovider: virtualbox\nworkers: {count: 1}\n", encoding="utf-8")
    return make_plan(spec.load(file), catalog.load(), observe(owner=str(tmp_path / "my labs")), "render")


def add(plan: Plan, node: str, *, uuid: str | None = None, name: str = "") -> str:
    """A machine as our Vagrantfile makes it: named, sized, forwarded and labelled, then started."""
    manage("import", "box.ovf", "--vmname", name or node)
    planned = next(item for item in plan.nodes if item.name == node)
    manage("modifyvm", name or node, "--cpus", str(planned.cpus), "--memory", str(planned.memory))
    manage("modifyvm", name or node, "--natpf1", f"ssh,tcp,127.0.0.1,{planned.ssh_port + 7},,22")
    facts = {"name": plan.name, "uuid": uuid or plan.uuid, "owner": quote(plan.owner), "node": node}
    for key, value in facts.items():
        manage("setextradata", name or node, f"labctl/{key}", value)
    manage("startvm", name or node, "--type", "headless")
    return name or node


def provider() -> VagrantProvider:
    return VagrantProvider(VirtualBox())


def identity(plan: Plan) -> LabIdentity:
    return LabIdentity(plan.name, plan.uuid, plan.owner)


def test_nodes_are_what_virtualbox_says_with_the_port_that_vagrant_really_took(plan: Plan) -> None:
    add(plan, "m-k8s")
    machine = VirtualBox().machines(plan.uuid)[0]
    VirtualBox().pin(machine, ("ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB"))
    control, worker = provider().nodes(plan)
    assert (control.state, control.ssh_host, control.ssh_port) == ("running", "127.0.0.1", plan.nodes[0].ssh_port + 7)
    assert control.host_keys == ("ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB")
    assert worker.state == "missing"


def test_a_running_machine_without_a_pinned_key_was_never_finished(plan: Plan) -> None:
    add(plan, "m-k8s")
    assert provider().nodes(plan)[0].state == "broken"


def test_halt_stops_every_machine_of_the_lab_and_no_other(plan: Plan) -> None:
    add(plan, "m-k8s")
    add(plan, "w1-k8s", uuid="another-lab", name="theirs")
    provider().halt(plan, discard, "halt")
    states = {machine.lab.uuid: machine.state for machine in VirtualBox().machines()}
    assert states == {plan.uuid: "stopped", "another-lab": "running"}


def test_destroy_needs_nothing_of_vagrants_and_leaves_other_machines_alone(plan: Plan) -> None:
    add(plan, "m-k8s")
    add(plan, "w1-k8s")
    add(plan, "w1-k8s", uuid="another-lab", name="theirs")
    manage("import", "box.ovf", "--vmname", "unlabelled")
    assert identity(plan) in provider().find_labs()
    provider().destroy(identity(plan), discard, "destroy")
    assert '"theirs"' in manage("list", "vms")
    assert '"unlabelled"' in manage("list", "vms")
    assert identity(plan) not in provider().find_labs()


def test_a_foreign_machine_of_the_same_name_is_a_problem_and_ours_is_none(plan: Plan) -> None:
    add(plan, "m-k8s")
    manage("import", "box.ovf", "--vmname", "w1-k8s")
    problems = VirtualBox().problems(plan)
    assert [problem.what.split(" exists")[0] for problem in problems] == ["a virtual machine called w1-k8s"]
    assert "names.suffix" in problems[0].fix


def test_remove_nodes_takes_only_the_named_ones(plan: Plan) -> None:
    add(plan, "m-k8s")
    add(plan, "w1-k8s")
    provider().remove_nodes(plan, ["w1-k8s"], discard, "scale")
    assert [machine.node for machine in VirtualBox().machines(plan.uuid)] == ["m-k8s"]


def test_vagrants_lost_notes_are_written_again_from_what_virtualbox_has(plan: Plan, tmp_path: Path) -> None:
    from orchestrator.paths import LabDir

    add(plan, "m-k8s")
    lab = LabDir(tmp_path / "state")
    lab.root.mkdir()
    lab.ssh.mkdir()
    lab.private_key.write_text("the lab's key", encoding="ascii")
    machines = VirtualBox().machines(plan.uuid)
    relink("virtualbox", lab, machines)
    notes = lab.root / ".vagrant" / "machines" / "m-k8s" / "virtualbox"
    assert (notes / "id").read_text(encoding="ascii") == machines[0].id
    assert (notes / "private_key").read_text(encoding="ascii") == "the lab's key"
