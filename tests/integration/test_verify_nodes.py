"""verify over real SSH on real nodes: one session each, the stock backend's verdicts, broken nodes told apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import inventory
from orchestrator.checks.model import Report, Result
from orchestrator.events import discard
from orchestrator.paths import LabDir
from orchestrator.providers import ssh_access
from orchestrator.providers.container import node_spec as spec
from orchestrator.providers.container.provider import ContainerProvider
from orchestrator.verify import Target, run_checks
from tests.integration.test_container_nodes import Lab, bare_plan

pytestmark = pytest.mark.real

# A connection of its own instead of one that an earlier command left open: that is what gets counted.
OWN_CONNECTION = ("-o", "ControlMaster=no", "-o", "ControlPath=none")

# Passes a session on, each line two seconds late.
SLOWLY = 'while IFS= read -r line; do sleep 2; printf "%s\\n" "$line"; done | exec "$@"'

Verdicts = dict[tuple[str, str], tuple[str, str]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    owner = tmp_path_factory.mktemp("owner")
    plan = bare_plan(owner, "verified", "192.168.251.0", 62700)
    directory = LabDir.beside(owner / "lab.yml", plan.name)
    directory.create()
    made = Lab(plan, directory, ContainerProvider())
    try:
        made.create()
        yield made
    finally:
        made.provider.destroy(spec.identity(plan), discard, "destroy")
        made.provider.close(discard, "destroy")


@pytest.fixture(scope="module")
def targets(lab: Lab) -> list[Target]:
    nodes = lab.provider.nodes(lab.plan)
    document = inventory.build(
        lab.plan,
        nodes,
        lab.provider.capabilities(),
        None,
        private_key=lab.directory.private_key,
        known_hosts=lab.directory.known_hosts,
        control_dir=Path("/nowhere"),
    )
    return [target(lab, node, inventory.variables_of(document, node.name)) for node in nodes]


def target(lab: Lab, node: Any, variables: dict[str, Any]) -> Target:
    ssh, *rest = ssh_access.ssh_argv(lab.directory, node)
    return Target(node.name, (ssh, *OWN_CONNECTION, *rest), variables)


def verdicts(report: Report) -> Verdicts:
    return {(one.id, one.node): (one.status, one.evidence) for one in report.results}


def bad(report: Report) -> list[tuple[str, str]]:
    return [(one.id, one.node) for one in report.results if one.bad]


def logins(lab: Lab, node: str) -> int:
    return int(lab.ssh(node, "sudo journalctl -t sshd --no-pager | grep -c 'Accepted publickey'"))


@pytest.fixture
def broken(lab: Lab) -> Iterator[Callable[[str, str, str], None]]:
    """Break a node with one command and have the other heal it at the end."""
    heal: list[tuple[str, str]] = []

    def apply(node: str, command: str, healing: str) -> None:
        heal.append((node, healing))
        lab.ssh(node, command)

    yield apply
    for node, command in reversed(heal):
        lab.ssh(node, command)


def test_one_verify_is_one_ssh_session_per_node(lab: Lab, targets: list[Target]) -> None:
    # Each look at the journal is a login of its own, unless it uses the connection that is kept open.
    before = {one.name: logins(lab, one.name) for one in targets}
    report = run_checks(lab.plan.name, targets, None)
    assert len(report.results) > 30
    assert {one.name: logins(lab, one.name) - before[one.name] for one in targets} == {one.name: 1 for one in targets}


def test_nothing_that_depends_on_the_machine_alone_fails_on_fresh_nodes(lab: Lab, targets: list[Target]) -> None:
    report = run_checks(lab.plan.name, targets, None, only=["machine", "network.mesh_ping"])
    assert bad(report) == []
    assert report.ok


def test_both_backends_give_the_same_verdicts_on_nodes_as_they_are(lab: Lab, targets: list[Target]) -> None:
    ours = run_checks(lab.plan.name, targets, None)
    stock = run_checks(lab.plan.name, targets, None, direct=True)
    assert verdicts(ours) == verdicts(stock)


def test_both_backends_give_the_same_verdicts_on_a_broken_node(
    lab: Lab, targets: list[Target], broken: Callable[[str, str, str], None]
) -> None:
    broken("w1-k8s", "sudo iptables -A INPUT -p icmp -j DROP", "sudo iptables -D INPUT -p icmp -j DROP")
    broken("w1-k8s", "sudo hostname elsewhere", "sudo hostname w1-k8s")
    chosen = ["machine", "network.mesh_ping"]
    ours = run_checks(lab.plan.name, targets, None, only=chosen)
    stock = run_checks(lab.plan.name, targets, None, only=chosen, direct=True)
    assert verdicts(ours) == verdicts(stock)
    found = verdicts(ours)
    assert found["machine.hostname", "w1-k8s"][0] == "failed"
    assert found["network.mesh_ping", "m-k8s"][0] == "failed"
    assert "w1-k8s (192.168.251.101)" in found["network.mesh_ping", "m-k8s"][1]
    assert len(bad(ours)) == 3


def test_a_node_that_refuses_the_key_is_told_apart_from_the_rest(lab: Lab, targets: list[Target]) -> None:
    def locked_out(one: Target) -> Target:
        argv = tuple(part.replace(str(lab.directory.private_key), "/nowhere/key") for part in one.ssh_argv)
        return Target(one.name, argv, one.variables)

    report = run_checks(lab.plan.name, [targets[0], locked_out(targets[1])], None, only=["machine"])
    assert bad(report) == [("machine.reachable", "w1-k8s")]
    assert "refuses the lab's SSH key" in verdicts(report)["machine.reachable", "w1-k8s"][1]


def test_a_node_whose_host_key_changed_is_not_trusted(lab: Lab, targets: list[Target], tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    other.write_text(
        "\n".join(
            " ".join([line.split()[0], *lab.directory.known_hosts.read_text().splitlines()[0].split()[1:]])
            for line in lab.directory.known_hosts.read_text().splitlines()[1:]
        )
    )
    argv = tuple(part.replace(str(lab.directory.known_hosts), str(other)) for part in targets[1].ssh_argv)
    report = run_checks(lab.plan.name, [Target("w1-k8s", argv, targets[1].variables)], None, only=["machine"])
    assert "host key is not the one" in verdicts(report)["machine.reachable", "w1-k8s"][1]


def test_a_node_without_python_is_told_and_its_other_checks_still_answer(
    lab: Lab, targets: list[Target], broken: Callable[[str, str, str], None]
) -> None:
    broken("w1-k8s", "sudo mv /usr/bin/python3 /usr/bin/python3.away", "sudo mv /usr/bin/python3.away /usr/bin/python3")
    report = run_checks(lab.plan.name, targets, None, only=["machine", "network.mesh_ping"])
    assert bad(report) == [("machine.python", "w1-k8s")]
    assert "python3" in verdicts(report)["machine.python", "w1-k8s"][1]


def test_a_frozen_node_costs_its_time_limit_and_hides_nothing_of_the_others(lab: Lab, targets: list[Target]) -> None:
    container = lab.container("w1-k8s")["Id"]
    lab.api.pause(container)
    try:
        started = time.monotonic()
        report = run_checks(lab.plan.name, targets, None, only=["machine", "network.mesh_ping"], deadline=60)
        took = time.monotonic() - started
    finally:
        lab.api.unpause(container)
    assert took < 30
    # Its kernel still answers pings: frozen is not gone.
    assert bad(report) == [("machine.reachable", "w1-k8s")]
    waiting = [one for one in report.results if one.status == "not_run"]
    assert {one.node for one in waiting} == {"w1-k8s"}
    assert all(one.evidence == "waits for machine.reachable on w1-k8s" for one in waiting)


def test_a_node_that_answers_slowly_is_waited_for_and_told_like_the_others(
    lab: Lab, targets: list[Target], tmp_path: Path
) -> None:
    path = tmp_path / "test_slow.py"
    path.write_text(
        """
import pytest

@pytest.mark.check(id="slow.answer", layer="system")
def test_answer(host):
    assert host.check_output("echo here") == "here"
"""
    )
    # Each command of this node's shell takes two seconds before it does anything.
    slow = Target(targets[1].name, ("sh", "-c", SLOWLY, "sh", *targets[1].ssh_argv), targets[1].variables)
    started = time.monotonic()
    report = run_checks(lab.plan.name, [targets[0], slow], None, files=[path], deadline=90)
    assert time.monotonic() - started < 90
    assert bad(report) == []
    took = {(one.id, one.node): one.seconds for one in report.results}
    assert took["slow.answer", "w1-k8s"] >= 2 > took["slow.answer", "m-k8s"]


def test_a_full_disk_is_named_and_every_other_check_still_answers(
    lab: Lab, targets: list[Target], broken: Callable[[str, str, str], None]
) -> None:
    full = "sudo mount -t tmpfs -o size=64k drift {0} && sudo dd if=/dev/zero of={0}/fill bs=1k 2>/dev/null; df {0}"
    broken("w1-k8s", full.format("/var/lib"), "sudo umount /var/lib")
    broken("w1-k8s", full.format("/tmp"), "sudo umount /tmp")
    report = run_checks(lab.plan.name, targets, None, only=["machine", "network.mesh_ping"])
    assert bad(report) == [("machine.disk", "w1-k8s")]
    assert "/var/lib has 0 MB" in verdicts(report)["machine.disk", "w1-k8s"][1]


def test_a_node_that_hangs_in_the_middle_is_an_error_of_that_check_alone(
    lab: Lab, targets: list[Target], tmp_path: Path
) -> None:
    path = tmp_path / "test_middle.py"
    path.write_text(
        """
import pytest

@pytest.mark.check(id="middle.hangs", layer="system")
def test_hangs(host):
    host.run("sleep 61", limit=2)

@pytest.mark.check(id="middle.after", layer="system")
def test_after(host):
    assert host.check_output("id -un") == "root"
    assert host.run("pgrep -x -f 'sleep 61'").rc == 1, "the hanging command was left behind"
"""
    )
    report = run_checks(lab.plan.name, targets, None, files=[path])
    statuses: dict[str, set[str]] = {}
    one: Result
    for one in report.results:
        statuses.setdefault(one.id, set()).add(one.status)
    assert statuses == {"machine.reachable": {"ok"}, "middle.hangs": {"error"}, "middle.after": {"ok"}}
