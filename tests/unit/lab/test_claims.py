"""Two labs never take one subnet or port, also when they are planned at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.errors import HostError
from orchestrator.lab import claims, planning
from orchestrator.lab.lock import exclusive_lock
from orchestrator.lab.observe import _claimed_networks, _claimed_ports
from orchestrator.lab.state import save_plan
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan

Plans = Callable[..., Plan]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))


def directory(home: Path) -> LabDir:
    home.mkdir(exist_ok=True)
    lab = LabDir.beside(home / "lab.yml", "k8s-lab")
    lab.create()
    return lab


def facts(observe: Callable[..., Observed], lab: LabDir) -> Observed:
    others = claims.others(lab)
    return observe(networks=tuple(_claimed_networks(others)), busy_ports=tuple(_claimed_ports(others)))


def planned(text: str, lab: LabDir, observe: Callable[..., Observed]) -> Plan:
    return make_plan(spec.parse(text), catalog.load(), facts(observe, lab))


def test_a_second_lab_on_defaults_takes_the_next_subnet(tmp_path: Path, observe: Callable[..., Observed]) -> None:
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    first = planned("", one, observe)
    assert claims.claim(first, one, keep=False)
    save_plan(one, first)
    second = planned("", two, observe)
    assert not {node.ssh_port for node in first.nodes} & {node.ssh_port for node in second.nodes}
    assert (first.network.subnet, second.network.subnet) == ("192.168.56.0/24", "192.168.57.0/24")
    (reason,) = (item.reason for item in second.decisions if item.field == "network.subnet")
    assert reason.startswith(f"moved from 192.168.56.0/24, used by lab k8s-lab of {tmp_path / 'one'}")


def test_an_explicit_subnet_of_another_lab_is_refused(tmp_path: Path, observe: Callable[..., Observed]) -> None:
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    first = planned("", one, observe)
    claims.claim(first, one, keep=False)
    save_plan(one, first)
    with pytest.raises(HostError) as refused:
        planned("network: {subnet: 192.168.56.0/24}", two, observe)
    assert "used by lab k8s-lab of" in refused.value.problems[0].what
    assert "network.subnet: auto" in str(refused.value.problems[0].fix)


def test_a_port_that_another_lab_has_claimed_is_refused_with_its_name(
    tmp_path: Path, observe: Callable[..., Observed]
) -> None:
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    first = planned("ports: [{port: 80, host: 8080}]", one, observe)
    claims.claim(first, one, keep=False)
    save_plan(one, first)
    with pytest.raises(HostError) as refused:
        planned("ports: [{port: 443, host: 8080}]", two, observe)
    (problem,) = refused.value.problems
    assert problem.what == f"port 8080 is held by lab k8s-lab of {tmp_path}/one"


def test_a_claim_ends_with_the_state_of_its_lab(tmp_path: Path, observe: Callable[..., Observed]) -> None:
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    first = planned("", one, observe)
    claims.claim(first, one, keep=False)
    save_plan(one, first)
    assert [taken.root for taken in claims.others(two)] == [one.root]
    for file in (one.plan, one.plan_copy):
        file.unlink()
    assert claims.others(two) == ()


def test_a_lab_that_was_never_built_claims_nothing_once_its_command_has_ended(
    tmp_path: Path, observe: Callable[..., Observed]
) -> None:
    one, two = directory(tmp_path / "one"), directory(tmp_path / "two")
    with exclusive_lock(one, "provision"):
        claims.claim(planned("", one, observe), one, keep=False)
        assert len(claims.others(two)) == 1
    assert claims.others(two) == ()


def build(home: Path, observe: Callable[..., Observed], barrier: Barrier, results: Queue[tuple[str, int]]) -> None:
    """Plan and claim as provision does; both processes look before either has claimed."""
    lab, looked = directory(home), False

    def look(asked: spec.Spec, where: LabDir) -> Observed:
        nonlocal looked
        observed = facts(observe, where)
        if not looked:
            looked = True
            barrier.wait(timeout=30)
        return observed

    planning.observe = look  # type: ignore[assignment]
    asked = spec.load(None)
    with exclusive_lock(lab, "provision"):
        plan = planning.decide_and_claim(asked, lab)
        results.put((plan.network.subnet, plan.nodes[0].ssh_port))
        barrier.wait(timeout=30)


def test_two_labs_planned_at_the_same_moment_take_two_subnets_and_other_ports(
    tmp_path: Path, observe: Callable[..., Observed]
) -> None:
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(2), fork.Queue()
    processes = [
        fork.Process(target=build, args=(tmp_path / name, observe, barrier, results)) for name in ("one", "two")
    ]
    for process in processes:
        process.start()
    found = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert found == {("192.168.56.0/24", 60010), ("192.168.57.0/24", 61010)}
