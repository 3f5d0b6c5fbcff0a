"""The static provider on real machines of somebody else: containers that carry no mark of labctl."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator import proc
from orchestrator.errors import ProviderError
from orchestrator.events import discard
from orchestrator.model import Plan
from orchestrator.paths import LabDir
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.static.provider import StaticProvider
from tests import strangers as others
from tests.integration.test_container_nodes import bare_plan

pytestmark = pytest.mark.real


@dataclass
class Strangers:
    """Two machines of somebody else, and the lab that is to have them."""

    machines: others.Strangers
    plan: Plan
    directory: LabDir

    def as_lab(self, node: int, command: str) -> proc.Result:
        return self.machines.ssh(node, self.directory.private_key, command)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strangers]:
    home = tmp_path_factory.mktemp("static")
    made = bare_plan(home, "mine", "192.168.249.0", 62700)
    with others.running(home, made) as machines:
        plan = replace(
            made,
            provider="static",
            static_hosts=machines.hosts,
            static_key=str(machines.key),
            static_shared_kernel=True,
            uuid=str(uuid.uuid4()),
        )
        directory = LabDir.beside(home / "lab.yml", plan.name)
        directory.create()
        directory.plan.write_text(plan.as_json(), encoding="utf-8")
        yield Strangers(machines, plan, directory)


def test_a_container_is_refused_where_machines_are_listed_and_nothing_on_it_changes(strangers: Strangers) -> None:
    plan = replace(strangers.plan, static_shared_kernel=False)
    with pytest.raises(ProviderError, match=r"is a container \(docker\): swap, modules and SELinux") as refused:
        StaticProvider().create(plan, strangers.directory, discard, "create")
    assert "static: {shared_kernel: true}" in (refused.value.fix or "")
    for index in range(2):
        assert strangers.machines.owner(index, "wc -l < ~/.ssh/authorized_keys") == "1"


def test_the_labs_key_is_let_in_once_and_only_where_the_fingerprint_is_right(strangers: Strangers) -> None:
    provider, plan = StaticProvider(), strangers.plan
    assert provider.preflight(plan) == []
    nodes = provider.create(plan, strangers.directory, discard, "create")
    assert [(node.state, node.ssh_host) for node in nodes] == [("running", n.address) for n in plan.nodes]
    again: list[Any] = []
    provider.create(plan, strangers.directory, again.append, "create")
    assert {step.status for step in again} == {"ok"}
    for index in range(2):
        assert strangers.as_lab(index, "sudo -n id -un").stdout.strip() == "root"


def test_another_host_key_is_refused_by_name(strangers: Strangers) -> None:
    wrong = replace(strangers.plan.static_hosts[1], fingerprint="SHA256:" + "A" * 43)
    plan = replace(strangers.plan, static_hosts=(strangers.plan.static_hosts[0], wrong))
    problems = StaticProvider().preflight(plan)
    assert len(problems) == 1
    assert problems[0].where.startswith("w1-k8s")
    assert "another host key" in problems[0].what
    with pytest.raises(ProviderError, match="another host key"):
        StaticProvider().create(plan, strangers.directory, discard, "create")


def test_a_machine_that_is_off_is_said_so(strangers: Strangers) -> None:
    off = replace(strangers.plan.static_hosts[1], port=9)
    plan = replace(strangers.plan, static_hosts=(strangers.plan.static_hosts[0], off))
    assert "does not answer" in StaticProvider().preflight(plan)[0].what
    assert [node.state for node in StaticProvider().nodes(plan)] == ["running", "stopped"]


def test_destroy_takes_the_labs_key_away_and_leaves_the_machines(strangers: Strangers) -> None:
    plan = strangers.plan
    StaticProvider().create(plan, strangers.directory, discard, "create")
    StaticProvider().destroy(LabIdentity(plan.name, plan.uuid, plan.owner), discard, "destroy")
    for index in range(2):
        assert not strangers.as_lab(index, "true").ok
        assert strangers.machines.owner(index, "hostname")
