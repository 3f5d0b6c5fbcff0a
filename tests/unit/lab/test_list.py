"""`labctl list`: what is said of labs whose folder is gone, whose provider is silent, or whose machines differ."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.errors import Problem, ProviderError
from orchestrator.lab import claims
from orchestrator.model import Node, Plan, ProviderName
from orchestrator.observed import Observed, ProviderTraits
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.providers import base, registry
from orchestrator.providers.base import LabIdentity, Provider
from orchestrator.verbs.list import Labs, list_labs


class Backend(Provider):
    """A provider that knows some labs and the states of their machines, or does not answer."""

    def __init__(self, name: ProviderName) -> None:
        self.name = name
        self.traits = ProviderTraits()
        self.labs: list[LabIdentity] = []
        self.states: Sequence[str] = ()
        self.silent: threading.Event | None = None
        self.failure: Exception | None = None
        self.missing: Problem | None = None

    def obstacle(self) -> Problem | None:
        return self.missing

    def find_labs(self) -> list[LabIdentity]:
        if self.silent:
            self.silent.wait(20)
            raise ProviderError("too late")
        if self.failure:
            raise self.failure
        return self.labs

    def nodes(self, plan: Plan) -> list[Node]:
        return [
            Node(node.name, state, node.address, 22, "vagrant")  # type: ignore[arg-type]
            for node, state in zip(plan.nodes, self.states, strict=True)
        ]

    def close(self, *_: object) -> None:
        pass


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Backend]]:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    made = {name: Backend(name) for name in ("virtualbox", "libvirt", "container", "static")}
    monkeypatch.setattr(registry, "provider", made.__getitem__)
    yield made
    for backend in made.values():
        if backend.silent:
            backend.silent.set()


@pytest.fixture
def lab(observe: Callable[..., Observed], tmp_path: Path, backends: dict[str, Backend]) -> Plan:
    """A lab of two container nodes with its folder."""
    home = tmp_path / "mine"
    home.mkdir()
    file = home / "lab.yml"
    file.write_text("version: 1\nprovider: container\nprofile: bare\nworkers: {count: 1}\n", encoding="utf-8")
    plan = make_plan(spec.load(file), catalog.load(), observe(owner=str(home)), "render")
    directory = LabDir(home / ".labctl" / plan.name)
    directory.root.mkdir(parents=True)
    directory.plan.write_text(plan.as_json(), encoding="utf-8")
    directory.identity.write_text("{}", encoding="utf-8")
    assert claims.claim(plan, directory, keep=True)
    backends["container"].labs = [base.identity(plan)]
    return plan


def state_of(listed: Labs) -> str:
    (lab,) = listed.labs
    return lab.state


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("running", "running"), "running"),
        (("stopped", "stopped"), "halted"),
        (("running", "stopped"), "1 running, 1 halted"),
        (("missing", "missing"), "no machines"),
    ],
)
def test_the_state_of_its_machines_is_told(
    states: Sequence[str], said: str, lab: Plan, backends: dict[str, Backend]
) -> None:
    backends["container"].states = states
    assert state_of(list_labs()) == said


def test_a_lab_without_machines_is_found_by_its_folder(lab: Plan, backends: dict[str, Backend]) -> None:
    backends["container"].labs, backends["container"].states = [], ("missing", "missing")
    (found,) = list_labs().labs
    assert (found.id, found.directory) == (lab.uuid, lab.owner)


def test_a_lab_whose_folder_is_gone_is_called_so(lab: Plan, backends: dict[str, Backend], tmp_path: Path) -> None:
    backends["container"].labs = [LabIdentity("lost", "11111111-0000-4000-8000-000000000001", str(tmp_path / "gone"))]
    backends["container"].states = ("running", "running")
    lost = next(one for one in list_labs().labs if one.name == "lost")
    assert (lost.state, lost.since) == ("its folder is gone", None)


def test_what_keeps_a_provider_from_being_asked_is_told(lab: Plan, backends: dict[str, Backend]) -> None:
    backends["container"].missing = Problem("Docker is not installed", "this host", "install it")
    assert state_of(list_labs()) == "unknown: Docker is not installed"


def test_a_provider_that_hangs_or_fails_is_named_and_the_others_are_listed(
    lab: Plan, backends: dict[str, Backend]
) -> None:
    backends["container"].states = ("running", "running")
    backends["libvirt"].silent = threading.Event()
    backends["virtualbox"].failure = ProviderError("VBoxManage: the registry cannot be read")
    listed = list_labs(seconds=1)
    assert state_of(listed) == "running"
    assert listed.unanswered == {
        "virtualbox": "VBoxManage: the registry cannot be read",
        "libvirt": "no answer within 1 s",
    }
