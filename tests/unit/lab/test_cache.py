"""What is in the cache, and what a prune takes."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.events import discard
from orchestrator.lab import claims
from orchestrator.lab.state import save_plan
from orchestrator.model import SourcePlan
from orchestrator.paths import LabDir
from orchestrator.verbs import cache
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import PLAN


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two bundles of one version and one of another, layers, and programs."""
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    for name, version in (("a", "1.37.2"), ("b", "1.37.2"), ("c", "1.36.3")):
        make(tmp_path / "cache" / "bundles" / name, name, version)
    for name in ("blobs/sha256/1", "compiled/x/kubectl", "node-images/y.tar"):
        file = tmp_path / "cache" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 1000)
    return tmp_path / "cache"


def names(found: cache.Cache) -> list[str]:
    return sorted(entry.path.name for entry in found.entries)


def test_everything_is_listed_with_its_size(directory: Path) -> None:
    found = cache.contents()
    assert names(found) == ["a", "b", "blobs", "c", "compiled", "node-images"]
    assert found.size > 3000
    assert [entry.size for entry in found.entries] == sorted((entry.size for entry in found.entries), reverse=True)


def test_a_prune_takes_older_bundles_of_a_version_and_what_can_be_had_again(directory: Path) -> None:
    assert names(cache.prune(discard)) == ["a", "blobs"]
    assert names(cache.contents()) == ["b", "c", "compiled", "node-images"]


def test_what_only_saves_time_goes_when_it_is_asked_for(directory: Path) -> None:
    assert names(cache.prunable(everything=True)) == ["a", "b", "blobs", "c", "compiled", "node-images"]


def test_the_bundle_of_a_lab_stays_and_so_does_what_its_machines_are_made_of(directory: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, owner=str(tmp_path), source=SourcePlan(bundle_id="a"))
    lab = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(lab, plan)
    assert claims.claim(plan, lab, keep=False)
    [used] = [entry for entry in cache.contents().entries if entry.labs]
    assert (used.path.name, used.labs) == ("a", (f"{plan.name} ({tmp_path})",))
    assert names(cache.prunable(everything=True)) == ["b", "blobs", "c", "compiled"]


def note_baked(directory: Path, key: str, title: str, used: float) -> None:
    record = {"seal": "0", "title": title, "bytes": 5000, "provider": "container", "used": used}
    (directory / "baked").mkdir(exist_ok=True)
    (directory / "baked" / f"{key}.json").write_text(json.dumps(record), encoding="ascii")


def test_of_each_kind_of_prepared_node_a_prune_leaves_the_last(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_baked(directory, "old", "Kubernetes 1.37.2, containerd", 1.0)
    note_baked(directory, "new", "Kubernetes 1.37.2, containerd", 2.0)
    note_baked(directory, "other", "no Kubernetes", 0.5)
    listed = {entry.path.name: (entry.what, entry.size) for entry in cache.contents().entries}
    assert listed["new.json"] == ("prepared node: Kubernetes 1.37.2, containerd", 5000)
    removed: list[str] = []
    provider = SimpleNamespace(bakery=lambda *_: SimpleNamespace(remove=removed.extend))
    monkeypatch.setattr(cache, "open_provider", lambda *_: nullcontext(provider))
    assert {"old.json"} == {name for name in names(cache.prune(discard)) if name.endswith(".json")}
    assert removed == ["old"]
    assert {path.name for path in (directory / "baked").iterdir()} == {"new.json", "other.json"}
