"""Whatever ends a run of the suite, the namespaces that it made are deleted, and no other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.events import Event, Note
from orchestrator.lab.state import Lab, save_plan
from orchestrator.paths import LabDir, write_private
from orchestrator.verbs.conformance import terminated_as_interrupted, without_leftovers
from tests.unit.providers.test_container_spec import PLAN

# Lists the namespaces of a file, and removes those that it is told to delete from it.
FAKE_KUBECTL = """\
#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
*"get namespaces --selector=e2e-framework"*)
    sed 's/.*/{"metadata": {"name": "&"}}/' namespaces | paste -sd, | sed 's/.*/{"items": [&]}/' ;;
*"delete namespace"*)
    for word; do sed -i "/^$word\\$/d" namespaces; done ;;
*) exit 1 ;;
esac
"""


class Cluster:
    """The namespaces of a lab's cluster as a fake kubectl has them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.file = lab.directory.bin / "namespaces"

    @property
    def namespaces(self) -> list[str]:
        return self.file.read_text().split()

    def make(self, *names: str) -> None:
        self.file.write_text("\n".join([*self.namespaces, *names]) + "\n")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C means what it does at a terminal; a shell has its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    directory = LabDir.beside(tmp_path / "lab.yml", PLAN.name)
    save_plan(directory, replace(PLAN, owner=str(tmp_path)))
    write_private(directory.kubeconfig, "{}")
    (directory.bin / "kubectl").write_text(FAKE_KUBECTL)
    (directory.bin / "kubectl").chmod(0o755)
    (directory.bin / "namespaces").write_text("pods-of-another-run\n")
    return Cluster(Lab(directory, PLAN))


def test_what_specs_left_behind_is_deleted_and_told(cluster: Cluster) -> None:
    events: list[Event] = []
    with without_leftovers(cluster.lab, events.append):
        cluster.make("pods-1", "dns-2")
    assert cluster.namespaces == ["pods-of-another-run"]
    assert [event.text for event in events if isinstance(event, Note)] == [
        "deleting 2 namespaces that specs left behind"
    ]


def test_a_run_that_cleaned_up_says_nothing(cluster: Cluster) -> None:
    events: list[Event] = []
    with without_leftovers(cluster.lab, events.append):
        pass
    assert events == []


def interrupted_run(cluster: Cluster, number: signal.Signals) -> None:
    with terminated_as_interrupted(), without_leftovers(cluster.lab, lambda event: None):
        cluster.make("pods-1")
        os.kill(os.getpid(), number)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cleans_up_too(cluster: Cluster, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_run(cluster, number)
    assert cluster.namespaces == ["pods-of-another-run"]


def test_sigterm_means_afterwards_what_it_meant_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminated_as_interrupted():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
