"""The Vagrantfile: golden files for the profiles, quoting of odd names, and what the book's machine table demands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.box import Box
from orchestrator.model import Plan
from orchestrator.observed import HostFolder, Observed
from orchestrator.plan import plan as make_plan
from orchestrator.providers.vagrant import vagrantfile
from orchestrator.providers.vagrant.vagrantfile import LibvirtSettings, render, ruby

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "vagrant"
BUILT = Box("labctl/debian-12-0123abcd", "file:///home/reader/.cache/labctl/boxes/debian-12-libvirt/box.box", "0" * 64)

LABS = {
    "book": "version: 1\nname: book\nprofile: book\n",
    "book-centos-7": "version: 1\nname: book\nprofile: book\nguest: centos-7\n",
    "bare-1": "version: 1\nname: bare\nprofile: bare\nworkers: {count: 0}\n",
    "bare-1-3": "version: 1\nname: bare\nprofile: bare\n",
    "modern": "version: 1\n",
    "workers-1": "version: 1\nworkers: {count: 1}\n",
    "workers-12": "version: 1\nworkers: {count: 12}\n",
    "other-subnet": "version: 1\nnetwork: {subnet: 10.77.4.0/22, control_plane_offset: 20, worker_offset: 301}\n",
    # Vagrant accepts no folder that does not exist; these do everywhere.
    "mounts-and-ports": (
        "version: 1\nworkers: {count: 2}\n"
        "mounts: [{host: /usr/share, node: /data}, {host: /usr/lib, node: /srv/lib, nodes: [w1-k8s, w2-k8s]}]\n"
        "ports: [{port: 30080, host: 8080}, {node: w2-k8s, port: 30443, host: 8443, address: 0.0.0.0}]\n"
    ),
    "odd-names": (
        "version: 1\nname: a-1\nnames: {control_plane: 0, worker: 'x-{i}', suffix: ' #{1} @home; |&<ü>'}\n"
        "virtualbox: {group: '/한국어 #@x'}\n"
    ).replace("control_plane: 0", "control_plane: '0'"),
}


@pytest.fixture
def planned(observe: Callable[..., Observed], tmp_path: Path) -> Callable[..., Plan]:
    def make(lab: str, provider: str = "virtualbox", owner: str = "/home/reader/lab") -> Plan:
        file = tmp_path / "lab.yml"
        file.write_text(f"{lab}provider: {provider}\n", encoding="utf-8")
        loaded = spec.load(file)
        folders = tuple(HostFolder(mount.host) for mount in loaded.lab.mounts)
        return make_plan(loaded, catalog.load(), observe(owner=owner, folders=folders), "render")

    return make


def box_of(plan: Plan) -> Box:
    guest = catalog.load().guest(plan.guest)
    assert guest is not None
    return Box(guest.box)


@pytest.mark.parametrize("name", LABS)
def test_the_virtualbox_file_is_the_one_a_person_read(
    name: str, planned: Callable[..., Plan], golden: Callable[[str, Path], None]
) -> None:
    plan = planned(LABS[name])
    golden(render(plan, box_of(plan)), GOLDEN / f"virtualbox-{name}.rb")


@pytest.mark.parametrize("emulated", [True, False], ids=["emulated", "kvm"])
def test_the_libvirt_file_is_the_one_a_person_read(
    emulated: bool, planned: Callable[..., Plan], golden: Callable[[str, Path], None]
) -> None:
    text = render(planned(LABS["workers-1"], "libvirt"), BUILT, LibvirtSettings(emulated=emulated))
    golden(text, GOLDEN / f"libvirt-workers-1-{'emulated' if emulated else 'kvm'}.rb")


def test_libvirt_gets_the_mounts_alone_as_copies(
    planned: Callable[..., Plan], golden: Callable[[str, Path], None]
) -> None:
    lab = LABS["mounts-and-ports"].partition("ports:")[0]
    golden(render(planned(lab, "libvirt"), BUILT), GOLDEN / "libvirt-mounts.rb")


def test_the_book_gets_the_machines_of_its_table(planned: Callable[..., Plan]) -> None:
    text = render(planned(LABS["book"]), Box("any"))
    rows = re.findall(
        r'name: "([^"]+)", address: "([^"]+)", cpus: (\d+), memory: (\d+), display_name: "([^"]+)", ssh_port: (\d+)',
        text,
    )
    suffix = "(github_SysNet4Admin)"
    assert rows == [
        ("m-k8s", "192.168.1.10", "2", "3072", f"m-k8s{suffix}", "60010"),
        *((f"w{i}-k8s", f"192.168.1.10{i}", "1", "2560", f"w{i}-k8s{suffix}", f"6010{i}") for i in (1, 2, 3)),
    ]
    assert '"--groups", "/k8s-SgMST-1.13.1(github_SysNet4Admin)"' in text


def test_nothing_in_the_file_sets_a_machine_up(planned: Callable[..., Plan]) -> None:
    for provider in ("virtualbox", "libvirt"):
        assert not re.search(r"\.provision\b|inline:|\bshell\b", render(planned(LABS["modern"], provider), BUILT))


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("plain", '"plain"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("#{`id`}", '"\\#{`id`}"'),
        ("#$x #@y", '"\\#$x \\#@y"'),
        ("# not code", '"# not code"'),
        ("two\nlines\x00", '"two\\nlines\\u{0}"'),
        ("한국어", '"한국어"'),
    ],
)
def test_a_string_becomes_a_literal_in_which_ruby_interpolates_nothing(value: str, literal: str) -> None:
    assert ruby(value) == literal


def test_a_hostile_owner_path_stays_inside_its_string(planned: Callable[..., Plan]) -> None:
    plan = replace(planned(LABS["modern"], "libvirt"), owner='/tmp/a "b" #{exit} <&>\n')
    line = next(line for line in render(plan, BUILT).splitlines() if line.strip().startswith("owner:"))
    assert line.strip() == 'owner: "/tmp/a%20%22b%22%20%23%7Bexit%7D%20%3C%26%3E%0A",'


def test_libvirt_names_carry_the_labs_id_so_that_labs_never_meet(planned: Callable[..., Plan]) -> None:
    plan = planned(LABS["modern"], "libvirt")
    text = render(plan, BUILT)
    short = vagrantfile.short_id(plan.uuid)
    for name in (f"k8s-lab-{short}-", f"labctl-{short}", f"labctl-{short}-nat"):
        assert f'"{name}"' in text
