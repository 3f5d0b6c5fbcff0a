"""What verbs say and refuse in a lab whose user has not installed the pod network yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.checks.model import Report, Result
from orchestrator.errors import SpecError
from orchestrator.events import discard
from orchestrator.lab import pod_network, verification
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.lab.state import Lab
from orchestrator.model import Cni, Plan
from orchestrator.paths import LabDir
from orchestrator.providers.base import container_capabilities
from orchestrator.verbs import reset, status
from orchestrator.verify.conditions import NOT_INSTALLED
from tests.unit.checks.test_verify_pod_network import READY, WAITING
from tests.unit.providers.test_container_spec import KUBERNETES, PLAN


def planned(cni: Cni) -> Plan:
    return replace(PLAN, kubernetes=replace(KUBERNETES, cni=cni))


def lab(tmp_path: Path, cni: Cni = "none") -> Lab:
    directory = LabDir.beside(tmp_path / "lab.yml", PLAN.name)
    directory.create()
    return Lab(directory, planned(cni))


def answer(monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, Any], problem: str = "") -> None:
    """Let the cluster list these nodes, or not answer."""
    monkeypatch.setattr(pod_network, "read_objects", lambda *_: (list(nodes), problem))


def test_what_needs_pods_is_refused_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, WAITING)
    with pytest.raises(SpecError, match="drain needs pods that run: no pod network") as refused:
        pod_network.require_pod_network(lab(tmp_path), "drain needs pods that run")
    assert refused.value.fix == "labctl kubectl -- apply -f MANIFEST, then: labctl verify"


def test_what_needs_pods_is_possible_with_the_users_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, WAITING, READY)
    pod_network.require_pod_network(lab(tmp_path), "drain needs pods that run")


def test_a_cluster_that_does_not_answer_is_not_called_one_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, problem="the API server does not answer: no route")
    pod_network.require_pod_network(lab(tmp_path), "drain needs pods that run")


def test_a_lab_with_a_network_of_labctls_is_not_asked(tmp_path: Path) -> None:
    pod_network.require_pod_network(lab(tmp_path, "bridge_cni"), "drain needs pods that run")


def test_the_notice_names_the_pod_cidr_and_the_next_command() -> None:
    text, command = pod_network.notice(planned("none"))
    assert text == f"{NOT_INSTALLED}; the nodes become Ready once you install one with the pod CIDR 172.16.0.0/16"
    assert command == "next: labctl kubectl -- apply -f MANIFEST, then: labctl verify"


@pytest.mark.parametrize(("cni", "phrase"), [("none", "without a pod network"), ("calico", "with calico")])
def test_a_sentence_about_the_cluster_ends_with_its_network(cni: Cni, phrase: str) -> None:
    kubernetes = planned(cni).kubernetes
    assert kubernetes
    assert pod_network.phrase(kubernetes) == phrase


@pytest.mark.parametrize(("reason", "noted"), [(NOT_INSTALLED, True), ("one node, one pod", False)])
def test_a_report_has_the_notice_when_checks_did_not_apply_for_want_of_a_network(
    reason: str, noted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = (Result("dns.pods", "dns", "", "not_applicable", evidence=reason),)
    monkeypatch.setattr(verification, "run_checks", lambda name, *_, **__: Report(name, 0.0, 1.0, results))
    observed = ObservedLab(lab(tmp_path), (), container_capabilities("a double"))
    report = verification.verify_lab(observed, emit=discard)
    assert report.notes == (pod_network.notice(observed.lab.plan) if noted else ())


def test_status_says_what_it_means_to_have_no_network(tmp_path: Path) -> None:
    assert status._missing_network(lab(tmp_path), [WAITING]).startswith(f"{NOT_INSTALLED}; the nodes become Ready")


@pytest.mark.parametrize(("cni", "node"), [("none", READY), ("bridge_cni", WAITING)])
def test_status_says_nothing_with_the_users_network_or_in_a_lab_of_another_kind(
    cni: Cni, node: dict[str, Any], tmp_path: Path
) -> None:
    assert status._missing_network(lab(tmp_path, cni), [node]) == ""


@pytest.mark.parametrize(("cni", "said"), [("none", True), ("bridge_cni", False)])
def test_a_reset_says_beforehand_that_it_takes_the_users_network_along(
    cni: Cni, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reset, "_observe_cluster", lambda _: None)
    of_control_plane, _ = reset.preview(lab(tmp_path, cni))
    assert of_control_plane.endswith("from m-k8s, and your pod network's files in /etc/cni/net.d") is said
