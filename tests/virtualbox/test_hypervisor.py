"""VirtualBox asked directly: labctl's machines are found, kept apart from others, stopped and removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from orchestrator import catalog, spec
from orchestrator.events import discard
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant import provider as vagrant_provider
from orchestrator.providers.vagrant.command import relink
from orchestrator.providers.vagrant.provider import VagrantProvider
from orchestrator.providers.vagrant.virtualbox import VirtualBox
from tests.virtualbox.conftest import Reader

pytestmark = [pytest.mark.real, pytest.mark.story, pytest.mark.representative, pytest.mark.takes(8)]

Add = Callable[..., str]


@pytest.fixture(autouse=True)
def on_path(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{reader.virtualbox.programs}:{os.environ['PATH']}")


@pytest.fixture
def plan(observe: Callable[..., Observed], tmp_path: Path) -> Plan:
    file = tmp_path / "lab.yml"
    file.write_text("version: 1\nprovider: virtualbox\nworkers: {count: 1}\n", encoding="utf-8")
    return make_plan(spec.load(file), catalog.load(), observe(owner=str(tmp_path / "my labs")), "render")


@pytest.fixture
def add(plan: Plan, reader: Reader) -> Iterator[Add]:
    """Make a running machine without a disk as the Vagrantfile would: named, sized, forwarded and labelled."""
    manage = reader.virtualbox.manage
    made = []

    def add(node: str, *, uuid: str | None = None, name: str = "", labelled: bool = True) -> str:
        name = name or node
        manage("createvm", "--name", name, "--ostype", "Debian_64", "--register")
        made.append(name)
        planned = next(item for item in plan.nodes if item.name == node)
        manage("modifyvm", name, "--cpus", str(planned.cpus), "--memory", "64", "--nic1", "nat")
        manage("modifyvm", name, "--natpf1", f"ssh,tcp,127.0.0.1,{planned.ssh_port + 7},,22")
        facts = {"name": plan.name, "uuid": uuid or plan.uuid, "owner": quote(plan.owner), "node": node}
        for key, value in facts.items() if labelled else ():
            manage("setextradata", name, f"labctl/{key}", value)
        if name == node:
            manage("startvm", name, "--type", "headless")
        return name

    yield add
    for name in made:
        reader.virtualbox.run("VBoxManage", "controlvm", name, "poweroff", check=False)
        reader.virtualbox.run("VBoxManage", "unregistervm", name, "--delete", check=False)


def provider() -> VagrantProvider:
    return VagrantProvider(VirtualBox())


def identity(plan: Plan) -> LabIdentity:
    return LabIdentity(plan.name, plan.uuid, plan.owner)


def test_nodes_are_what_virtualbox_says_with_the_port_that_vagrant_really_took(plan: Plan, add: Add) -> None:
    add("m-k8s")
    machine = VirtualBox().machines(plan.uuid)[0]
    VirtualBox().pin(machine, ("ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB"))
    control, worker = provider().nodes(plan)
    assert (control.state, control.ssh_host, control.ssh_port) == ("running", "127.0.0.1", plan.nodes[0].ssh_port + 7)
    assert control.host_keys == ("ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB")
    assert worker.state == "missing"


def test_a_running_machine_without_a_pinned_key_was_never_finished(plan: Plan, add: Add) -> None:
    add("m-k8s")
    assert provider().nodes(plan)[0].state == "broken"


def test_halt_stops_every_machine_of_the_lab_and_no_other(
    plan: Plan, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing in these machines hears the power button.
    monkeypatch.setattr(vagrant_provider, "STOP_SECONDS", 1)
    add("m-k8s")
    add("w1-k8s", uuid="another-lab")
    provider().halt(plan, discard, "halt")
    states = {machine.lab.uuid: machine.state for machine in VirtualBox().machines()}
    assert states == {plan.uuid: "stopped", "another-lab": "running"}


def test_destroy_needs_nothing_of_vagrants_and_leaves_other_machines_alone(
    plan: Plan, add: Add, reader: Reader
) -> None:
    add("m-k8s")
    add("w1-k8s")
    add("w1-k8s", uuid="another-lab", name="theirs")
    add("w1-k8s", name="Büro 2 (mine)", labelled=False)
    assert identity(plan) in provider().find_labs()
    provider().destroy(identity(plan), discard, "destroy")
    assert reader.registered() == ["theirs", "Büro 2 (mine)"]
    assert identity(plan) not in provider().find_labs()


def test_a_foreign_machine_of_the_same_name_is_a_problem_and_ours_is_none(plan: Plan, add: Add) -> None:
    add("m-k8s")
    add("w1-k8s", labelled=False)
    problems = VirtualBox().problems(plan)
    assert [problem.what.split(" exists")[0] for problem in problems] == ["a virtual machine called w1-k8s"]
    assert "names.suffix" in problems[0].fix


def test_remove_nodes_takes_only_the_named_ones(plan: Plan, add: Add) -> None:
    add("m-k8s")
    add("w1-k8s")
    provider().remove_nodes(plan, ["w1-k8s"], discard, "scale")
    assert [machine.node for machine in VirtualBox().machines(plan.uuid)] == ["m-k8s"]


def test_vagrants_lost_notes_are_written_again_from_what_virtualbox_has(plan: Plan, add: Add, tmp_path: Path) -> None:
    add("m-k8s")
    lab = LabDir(tmp_path / "state")
    lab.root.mkdir()
    lab.ssh.mkdir()
    lab.private_key.write_text("the lab's key", encoding="ascii")
    machines = VirtualBox().machines(plan.uuid)
    relink("virtualbox", lab, machines)
    notes = lab.root / ".vagrant" / "machines" / "m-k8s" / "virtualbox"
    assert (notes / "id").read_text(encoding="ascii") == machines[0].id
    assert (notes / "private_key").read_text(encoding="ascii") == "the lab's key"
