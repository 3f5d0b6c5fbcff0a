"""What keeps virtual machines from being made is said before anything starts, all at once, each with its cure."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog, host, proc, spec
from orchestrator.events import Event
from orchestrator.host_access import Mount
from orchestrator.model import Plan
from orchestrator.observed import Observed, Sizing
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant import box_build, command, libvirt
from orchestrator.providers.vagrant import preflight as vagrant_preflight
from orchestrator.providers.vagrant.hypervisor import Machine
from orchestrator.providers.vagrant.provider import VagrantProvider


class Hypervisor:
    """A hypervisor that has these machines, has no complaint, and notes what it is told to do."""

    name = "libvirt"
    sizing = Sizing()
    adapters = ""
    programs = libvirt.Libvirt.programs
    plugin = libvirt.PLUGIN

    def __init__(self, machines: list[Machine] | None = None, *, forwards: bool = False) -> None:
        self.existing = machines or []
        self.calls: list[str] = []
        self.forwards = forwards

    def machines(self, uuid: str | None = None) -> list[Machine]:
        return [machine for machine in self.existing if uuid in (None, machine.lab.uuid)]

    def open(self, emit: object, phase: str) -> None:
        self.calls.append("open")

    def remove(self, machine: Machine) -> None:
        self.calls.append(f"remove {machine.node}")
        self.existing.remove(machine)

    def remove_networks(self, identity: LabIdentity) -> list[str]:
        return ["network labctl-00000000"]

    def remove_leftovers(self, plan: Plan) -> list[str]:
        return ["disk m-k8s.img"]

    def answers(self) -> bool:
        return True

    def problems(self, plan: Plan) -> list[Any]:
        return []

    def owns_subnet(self, plan: Plan) -> bool:
        return False

    def has_networks(self, identity: LabIdentity) -> bool:
        return False


@pytest.fixture
def make(observe: Callable[..., Observed], tmp_path: Path) -> Callable[..., Plan]:
    def make(provider: str, lab: str = "") -> Plan:
        file = tmp_path / "lab.yml"
        file.write_text(f"version: 1\nprovider: {provider}\nworkers: {{count: 1}}\n{lab}", encoding="utf-8")
        return make_plan(spec.load(file), catalog.load(), observe(owner=str(tmp_path)), "render")

    return make


@pytest.fixture(autouse=True)
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A host with Vagrant, its libvirt plugin and a box that Vagrant knows; what its programs print can be changed."""
    says = {
        "vagrant plugin list --machine-readable": "1,,ui,info,vagrant-libvirt (0.11.2)\n",
        "vagrant box list": "bento/debian-12 (libvirt, 1)\nbento/debian-12 (virtualbox, 1)\n",
    }

    def run(argv: list[str], **options: object) -> proc.Result:
        return proc.Result(tuple(argv), 0, says.get(" ".join(argv), ""), "")

    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(proc, "run", run)
    monkeypatch.setattr(shutil, "which", lambda name, **options: None if name in says else f"/usr/bin/{name}")
    monkeypatch.setattr(host, "networks", lambda: ())
    monkeypatch.setattr(host, "port_is_free", lambda port, address: True)
    monkeypatch.setattr(host, "package_manager", lambda: "apt")
    return says


def test_a_host_that_has_everything_has_no_problem(make: Callable[..., Plan]) -> None:
    assert vagrant_preflight.problems(make("libvirt"), Hypervisor()) == []


def test_without_vagrant_nothing_else_is_asked(make: Callable[..., Plan], ready: dict[str, str]) -> None:
    ready["vagrant"] = ""
    (problem,) = vagrant_preflight.problems(make("libvirt"), Hypervisor())
    assert problem.what == "Vagrant is not installed"
    assert "apt-get install" in problem.fix
    assert "vagrant-libvirt" in problem.fix


def test_without_the_plugin_its_package_is_named(make: Callable[..., Plan], ready: dict[str, str]) -> None:
    ready["vagrant plugin list --machine-readable"] = ""
    (problem,) = vagrant_preflight.problems(make("libvirt"), Hypervisor())
    assert "no plugin for libvirt" in problem.what
    assert "vagrant plugin install vagrant-libvirt" in problem.fix


def test_what_a_lab_by_libvirt_lacks_on_the_host_is_what_yes_installs(ready: dict[str, str]) -> None:
    assert libvirt.Libvirt().missing_packages("debian-12") == []
    ready["vagrant plugin list --machine-readable"] = "1,,ui,info,vagrant-vbguest (0.1)\n"
    assert libvirt.Libvirt().missing_packages("debian-12") == ["vagrant-libvirt"]
    ready |= {"vagrant": "", "qemu-img": "", "mmdebstrap": ""}
    assert libvirt.Libvirt().missing_packages("debian-12") == ["vagrant-libvirt", "qemu-utils", "mmdebstrap"]
    assert libvirt.Libvirt().missing_packages("rocky-9") == ["vagrant-libvirt", "qemu-utils"], "no box is built of it"


def test_without_a_box_and_a_sum_nothing_is_fetched(make: Callable[..., Plan], ready: dict[str, str]) -> None:
    ready["vagrant box list"] = ""
    (problem,) = vagrant_preflight.problems(make("virtualbox", "guest: debian-13\n"), Hypervisor(forwards=True))
    assert "bento/debian-13" in problem.what
    assert "labctl box import FILE" in problem.fix


def test_a_box_of_a_registry_needs_the_network_unless_vagrant_has_it(
    make: Callable[..., Plan], ready: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make("virtualbox", "box: {name: bento/debian-12, version: '202510.26.0'}\n")
    ready["vagrant box list"] = ""
    monkeypatch.delenv("LABCTL_OFFLINE", raising=False)
    assert vagrant_preflight.problems(plan, Hypervisor(forwards=True)) == []
    monkeypatch.setenv("LABCTL_OFFLINE", "1")
    (problem,) = vagrant_preflight.problems(plan, Hypervisor(forwards=True))
    assert "Vagrant has no box bento/debian-12" in problem.what
    assert problem.fix.startswith("vagrant box add bento/debian-12 --box-version 202510.26.0")
    ready["vagrant box list"] = "bento/debian-12 (virtualbox, 202510.26.0, (amd64))\n"
    assert vagrant_preflight.problems(plan, Hypervisor(forwards=True)) == []


def test_a_box_that_can_be_built_here_is_no_problem_but_what_keeps_it_from_it_is(
    make: Callable[..., Plan], ready: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready["vagrant box list"] = ""
    monkeypatch.setattr(box_build, "problems", list)
    assert vagrant_preflight.problems(make("libvirt"), Hypervisor()) == []
    monkeypatch.setattr(box_build, "problems", lambda: ["no mirror"])
    assert vagrant_preflight.problems(make("libvirt"), Hypervisor()) == ["no mirror"]


def test_a_box_that_changed_in_the_cache_is_refused(make: Callable[..., Plan], tmp_path: Path) -> None:
    place = tmp_path / "cache" / "boxes" / "debian-12-libvirt"
    place.mkdir(parents=True)
    (place / "box.box").write_bytes(b"flipped")
    body = {"guest": "debian-12", "provider": "libvirt", "sha256": hashlib.sha256(b"whole").hexdigest()}
    (place / "box.json").write_text(json.dumps({**body, "path": "", "source": "built", "size": 7}))
    (problem,) = vagrant_preflight.problems(make("libvirt"), Hypervisor())
    assert "its sha256 changed" in problem.what
    assert problem.fix == "labctl box build --provider libvirt"


def test_a_forward_that_somebody_holds_is_named_with_its_use(
    make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "port_is_free", lambda port, address: port != 61443)
    (problem,) = vagrant_preflight.problems(
        make("virtualbox", "kubernetes: {api_port: 61443}\n"), Hypervisor(forwards=True)
    )
    assert "port 61443 on 127.0.0.1, the forward to the API server, is in use" in problem.what
    assert problem.where == "kubernetes.api_port"


def test_a_network_of_this_host_is_not_taken(make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make("libvirt")
    monkeypatch.setattr(host, "networks", lambda: (host.HostNetwork(interface="eth0", cidr=plan.network.subnet),))
    (problem,) = vagrant_preflight.problems(plan, Hypervisor())
    assert "which this host uses on eth0" in problem.what
    assert problem.where == "network.subnet"


def test_destroy_without_vagrants_notes_removes_every_machine_and_network(make: Callable[..., Plan]) -> None:
    plan = make("libvirt")
    identity = LabIdentity(plan.name, plan.uuid, plan.owner)
    other = LabIdentity("other", "another-uuid", "/elsewhere")
    hypervisor = Hypervisor([Machine(f"d{i}", n.name, identity, "running", 2, 2048) for i, n in enumerate(plan.nodes)])
    hypervisor.existing.append(Machine("x", "m-k8s", other, "running", 2, 2048))
    events: list[Event] = []
    VagrantProvider(hypervisor).destroy(identity, events.append, "destroy")  # type: ignore[arg-type]
    assert hypervisor.calls == ["open", "remove m-k8s", "remove w1-k8s"]
    assert [machine.lab for machine in hypervisor.existing] == [other]
    assert any("network labctl-00000000" in str(event) for event in events)


def test_a_machine_that_kept_the_key_of_its_box_is_known_by_vagrants_notes(tmp_path: Path) -> None:
    lab = LabDir(tmp_path)
    own = command.notes("virtualbox", lab, "m-k8s") / "private_key"
    own.parent.mkdir(parents=True)
    own.touch()
    assert command.without_own_key("virtualbox", lab, ["m-k8s", "w1-k8s"]) == ["w1-k8s"]


def test_mounts_need_rsync_and_their_folder(make: Callable[..., Plan], ready: dict[str, str], tmp_path: Path) -> None:
    plan = replace(make("libvirt"), mounts=(Mount(str(tmp_path / "gone"), "/data", ("m-k8s",)),))
    ready["rsync"] = ""
    no_rsync, no_folder = vagrant_preflight.problems(plan, Hypervisor())
    assert no_rsync.what == "rsync, which copies the mounts into virtual machines, is not installed"
    assert "apt-get install" in no_rsync.fix
    assert f"{tmp_path}/gone, which is /data in nodes, is not there" in no_folder.what
