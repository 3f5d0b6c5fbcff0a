"""A bundle is used only when every byte is what its manifest says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.bundle import BrokenBundleError, BundleInfo, builder, manifest, recipes
from orchestrator.errors import ExitCode, LockedError
from orchestrator.events import Event, discard

CONTENT = {
    "key.asc": b"key",
    "apt/Packages": b"Package: kubeadm\n",
    "rpm/repodata/repomd.xml": b"<repomd/>",
    "images.tar": b"image" * 1000,
    "bin/kubectl": b"#!/bin/sh\n",
}


def make(directory: Path, bundle_id: str = "kubernetes-1.20.2-0123456789ab", kubernetes: str = "1.20.2") -> BundleInfo:
    for name, content in CONTENT.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    info = BundleInfo(
        id=bundle_id,
        path=directory,
        kubernetes=kubernetes,
        packages={"kubeadm": "1.20.2-1"},
        rpms={"kubeadm": "1.20.2-1"},
        images=("registry.k8s.io/pause:3.2",),
        files=manifest.describe(directory),
        key_fingerprint="ABCD",
    )
    manifest.write(info)
    return info


@pytest.fixture
def cached(tmp_path: Path) -> BundleInfo:
    return make(tmp_path / "bundles" / "kubernetes-1.20.2-0123456789ab")


def test_manifest_reads_back_as_written(cached: BundleInfo) -> None:
    assert bundle.load(cached.path) == cached


def test_intact_bundle_has_no_problems(cached: BundleInfo) -> None:
    assert bundle.verify(cached) == []


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_one_flipped_byte_in_any_file_is_found(cached: BundleInfo, name: str) -> None:
    path = cached.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    problems = bundle.verify(cached)
    assert [problem.where for problem in problems] == [f"{cached.id}/{name}"]
    assert "sha256" in problems[0].what
    assert problems[0].fix == "labctl bundle build"


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_truncated_and_missing_files_are_found(cached: BundleInfo, name: str) -> None:
    path = cached.path / name
    path.write_bytes(path.read_bytes()[:-1])
    assert "bytes long" in bundle.verify(cached)[0].what
    path.unlink()
    assert "missing" in bundle.verify(cached)[0].what


def test_file_that_nobody_recorded_is_found(cached: BundleInfo) -> None:
    (cached.path / "apt" / "evil.deb").write_bytes(b"")
    assert "not in the manifest" in bundle.verify(cached)[0].what


def test_link_instead_of_a_file_is_found(cached: BundleInfo) -> None:
    path = cached.path / "key.asc"
    path.rename(cached.path.parent / "elsewhere")
    path.symlink_to(cached.path.parent / "elsewhere")
    assert bundle.verify(cached)[0].where.endswith("key.asc")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "labctl/bundle/v9"},
        {"files": [{"path": "../key.asc", "sha256": "", "size": 1}]},
        {"files": [{"path": "/etc/passwd", "sha256": "", "size": 1}]},
        {"files": "all"},
        {"id": "../../etc"},
        {"id": ""},
        {"packages": None},
    ],
)
def test_manifest_that_makes_no_sense_is_refused(cached: BundleInfo, change: dict[str, object]) -> None:
    path = cached.path / manifest.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BrokenBundleError) as caught:
        bundle.load(cached.path)
    assert caught.value.fix
    assert caught.value.exit_code == ExitCode.HOST


def test_manifest_that_is_no_json_is_refused(cached: BundleInfo) -> None:
    (cached.path / manifest.MANIFEST).write_bytes(b'{"schema": ')
    with pytest.raises(BrokenBundleError):
        bundle.load(cached.path)


def test_listing_skips_what_is_no_bundle_and_sorts_by_version(tmp_path: Path) -> None:
    store = tmp_path / "bundles"
    for kubernetes in ("1.9.1", "1.36.4", "1.20.2"):
        make(store / f"kubernetes-{kubernetes}-aa", f"kubernetes-{kubernetes}-aa", kubernetes)
    (store / "half").mkdir()
    (store / ".import").mkdir()
    assert [info.kubernetes for info in bundle.list_bundles(tmp_path)] == ["1.9.1", "1.20.2", "1.36.4"]
    assert bundle.find(tmp_path, "kubernetes-1.36.4-aa") is not None
    assert bundle.find(tmp_path, "half") is None
    assert bundle.list_bundles(tmp_path / "nothing") == []


def test_build_takes_an_intact_bundle_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = recipes.load()
    made = make(tmp_path / "bundles" / inputs.id, inputs.id)
    monkeypatch.setattr(builder, "_build", lambda *_: pytest.fail("built although the cache has it"))
    assert bundle.build(tmp_path, inputs, discard, "bundle") == made


def test_build_makes_a_damaged_bundle_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_of_it = recipes.load()
    made = make(tmp_path / "bundles" / recipe_of_it.id, recipe_of_it.id)
    (made.path / "images.tar").write_bytes(b"short")
    events: list[Event] = []
    monkeypatch.setattr(builder, "preflight", lambda cache, inputs: [])
    monkeypatch.setattr(builder, "_build", lambda cache, inputs, known, emit, phase: make(made.path, inputs.id))
    assert bundle.verify(bundle.build(tmp_path, recipe_of_it, events.append, "bundle")) == []
    assert any("building it anew" in str(event.as_dict().get("text")) for event in events)


def test_second_build_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    events: list[Event] = []
    first = builder.locked(tmp_path, discard, "bundle")
    first.__enter__()

    def emit(event: Event) -> None:
        events.append(event)
        first.__exit__(None, None, None)

    with builder.locked(tmp_path, emit, "bundle"):
        assert "waiting" in str(events[0].as_dict()["detail"])


def test_a_build_that_never_ends_is_not_waited_for_in_all_eternity(tmp_path: Path) -> None:
    with (
        builder.locked(tmp_path, discard, "bundle"),
        pytest.raises(LockedError),
        builder.locked(tmp_path, discard, "bundle", limit=0.1),
    ):
        pass
