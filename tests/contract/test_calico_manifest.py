"""Calico's manifest on its way into a lab: fetched once, used only when its sum is confirmed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import catalog, paths, spec
from orchestrator.errors import HostError
from orchestrator.lab import calico_manifest as calico
from orchestrator.model import KubernetesPlan
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan
from tests.web import Site, serving

TEXT = b"kind: DaemonSet\nmetadata: {name: calico-node}\n"
SUM = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Site]:
    """The place where Calico's project publishes: a web server on loopback, and what was asked of it."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "calico.yaml").write_bytes(TEXT)
    with serving(directory) as site:
        yield site


@pytest.fixture
def wanted(
    project: Site, observe: Callable[..., Observed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> KubernetesPlan:
    """A plan with Calico whose manifest lies on the loopback server, nobody having computed its sum."""
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    paths.cache_dir().mkdir(parents=True, exist_ok=True)
    file = tmp_path / "lab.yml"
    file.write_text("version: 1\nprofile: modern\n")
    observed = observe(buildable=(), community_reachable=True, cgroup="v2")
    kubernetes = make_plan(spec.load(file), catalog.load(), observed, "render").kubernetes
    assert kubernetes is not None
    assert kubernetes.cni == "calico"
    return replace(kubernetes, cni_manifest_url=f"{project.url}/calico.yaml", cni_manifest_sha256=None)


def fetch(kubernetes: KubernetesPlan, answer: bool = True) -> calico.Manifest:
    return calico.fetch_manifest(kubernetes, lambda _: answer, lambda _: None)


def test_a_manifest_that_the_user_confirms_is_kept_and_not_fetched_again(wanted: KubernetesPlan, project: Site) -> None:
    manifest = fetch(wanted)
    assert manifest.path.read_bytes() == TEXT
    assert manifest.sha256 == SUM
    # the answer was kept: nobody is asked a second time
    assert fetch(wanted, answer=False) == manifest
    assert project.asked == ["/calico.yaml"]


def test_the_question_names_the_sum_of_what_was_fetched(wanted: KubernetesPlan) -> None:
    questions: list[str] = []

    def agree(question: str) -> bool:
        questions.append(question)
        return True

    calico.fetch_manifest(wanted, agree, lambda _: None)
    assert len(questions) == 1
    assert SUM in questions[0]


def test_an_unconfirmed_manifest_is_not_used_and_the_fix_is_a_line_for_lab_yml(wanted: KubernetesPlan) -> None:
    with pytest.raises(HostError) as refused:
        fetch(wanted, answer=False)
    assert "is not confirmed" in str(refused.value)
    assert f"packages: {{checksums: {{calico-{wanted.cni_version}: {SUM}}}}} in lab.yml" in str(refused.value.fix)


def test_a_sum_from_the_catalog_or_lab_yml_asks_nobody(wanted: KubernetesPlan) -> None:
    assert fetch(replace(wanted, cni_manifest_sha256=SUM), answer=False).sha256 == SUM


def test_another_file_than_the_expected_one_is_refused_and_removed(wanted: KubernetesPlan, project: Site) -> None:
    expected = "0" * 64
    with pytest.raises(HostError, match=f"has the sha256 {SUM}, not {expected}; it is not used"):
        fetch(replace(wanted, cni_manifest_sha256=expected))
    assert not list((paths.cache_dir() / "calico").glob("*.yaml"))


def test_a_cached_manifest_that_changed_after_it_was_confirmed_is_refused(wanted: KubernetesPlan) -> None:
    manifest = fetch(wanted)
    manifest.path.write_bytes(TEXT + b"---\n")
    with pytest.raises(HostError, match=f"not {SUM}; it is not used"):
        fetch(wanted)
    # and the one from the project is good again
    assert fetch(wanted, answer=False).path.read_bytes() == TEXT


def test_a_manifest_that_cannot_be_fetched_leaves_nothing_and_names_the_way_without_it(
    wanted: KubernetesPlan, project: Site
) -> None:
    (project.directory / "calico.yaml").unlink()
    with pytest.raises(HostError) as refused:
        fetch(wanted)
    assert project.url in str(refused.value)
    assert "404" in str(refused.value)
    assert refused.value.fix == "kubernetes: {cni: bridge_cni}"
    assert not list((paths.cache_dir() / "calico").iterdir())
