"""A cluster on machines of VirtualBox, from nothing through its life to nothing; QEMU stands in for the driver."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.providers import vagrant
from tests.selection.labs import record_lab
from tests.virtualbox.conftest import Reader

LAB = """\
version: 1
name: cluster
provider: virtualbox
control_plane: {cpus: 2, memory: 2560}
workers: {count: 1, cpus: 1, memory: 1536}
network: {subnet: 192.168.63.0/24}
"""
# It needs a machine with a kernel of its own.
DRILL = "swap-on"

# What calls VBoxManage and Vagrant.
SOURCES = [Path(vagrant.__file__).parent / f"{name}.py" for name in ("virtualbox", "provider", "command", "preflight")]

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.story, pytest.mark.takes(150)]


@pytest.fixture(scope="module")
def lab(reader: Reader) -> Iterator[Reader]:
    (reader.home / "lab.yml").write_text(LAB, encoding="utf-8")
    with reader.provisioned("--cni", "bridge_cni") as lab:
        yield lab


def kubectl(lab: Reader, *words: str) -> str:
    return lab.good("kubectl", "--", *words)


@pytest.mark.takes(900)
def test_provision_ends_verified(lab: Reader) -> None:
    assert json.loads((lab.home / "first.json").read_text(encoding="utf-8"))["verify"]["ok"]
    record_lab(lab.home, __file__, "VirtualBox' own programs; QEMU emulates its machines in place of the kernel driver")


def test_every_node_reports_its_host_only_address_never_the_nats(lab: Reader) -> None:
    nodes = json.loads(kubectl(lab, "get", "nodes", "-o", "json"))["items"]
    found = {
        node["metadata"]["name"]: [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        for node in nodes
    }
    assert found == {"m-k8s": ["192.168.63.10"], "w1-k8s": ["192.168.63.101"]}


def test_a_drill_is_solved(lab: Reader) -> None:
    lab.good("drill", "start", DRILL, "--yes")
    lab.good("drill", "solve", DRILL, "--yes")
    lab.good("drill", "check", DRILL)


def test_a_snapshot_brings_back_what_was_there(lab: Reader) -> None:
    kubectl(lab, "create", "configmap", "before")
    lab.good("snapshot", "save", "here")
    kubectl(lab, "create", "configmap", "after")
    lab.good("snapshot", "restore", "here", "--yes")
    names = kubectl(lab, "get", "configmaps", "-o", "name")
    assert "configmap/before" in names
    assert "configmap/after" not in names
    lab.good("snapshot", "delete", "here", "--yes")


def test_doctor_finds_virtualbox_ready(lab: Reader) -> None:
    checks = json.loads(lab.labctl("doctor", "--output", "json").stdout)["checks"]
    found = {check["id"]: check["status"] for check in checks if check["id"].startswith("provider.")}
    assert found
    assert set(found.values()) == {"ok"}


def test_after_halt_and_start_it_is_verified(lab: Reader) -> None:
    lab.good("halt")
    assert {lab.shown(name)["VMState"] for name in ("m-k8s", "w1-k8s")} == {"poweroff"}
    assert json.loads(lab.good("start", "--output", "json"))["verify"]["ok"]


def test_another_size_restarts_the_machine(lab: Reader) -> None:
    (lab.home / "lab.yml").write_text(LAB.replace("memory: 1536", "memory: 1600"), encoding="utf-8")
    assert json.loads(lab.good("provision", "--yes", "--output", "json"))["verify"]["ok"]
    assert lab.shown("w1-k8s")["memory"] == "1600"


def test_a_worker_leaves_with_its_disk(lab: Reader) -> None:
    lab.good("scale", "--workers", "0", "--yes")
    assert lab.registered() == ["m-k8s"]


def test_destroy_leaves_nothing_registered(lab: Reader) -> None:
    lab.good("destroy", "--yes")
    assert lab.registered() == []
    assert lab.virtualbox.manage("list", "runningvms") == ""


@pytest.mark.parametrize("program", ["VBoxManage", "vagrant"])
def test_every_call_that_labctl_can_make_was_made(lab: Reader, program: str) -> None:
    given = lab.virtualbox.calls(program)
    known = [call for file in SOURCES for call in calls_of(program, file)]
    assert len(known) >= 6
    assert [call for call in known if not any(is_made(call, words) for words in given)] == []


def calls_of(program: str, file: Path) -> Iterator[list[str | None]]:
    """The words of every call of a program in a source file; None for what is not written there."""
    name = "_manage" if program == "VBoxManage" else "run"
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.List) and node.elts and literal(node.elts[0]) == program:
            words = [literal(one) for one in node.elts[1:]]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
            words = [literal(one) for one in node.args]
        else:
            continue
        # Plugins are libvirt's alone.
        if words and words[0] not in (None, "plugin"):
            yield words


def literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_made(call: list[str | None], words: list[str]) -> bool:
    return all(word is None or words[at : at + 1] == [word] for at, word in enumerate(call))
