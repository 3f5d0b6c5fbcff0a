"""What planning is told of the bundles that this host can build."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import bundle, debian_mirror, spec
from orchestrator.debian_mirror import MirrorConfig
from orchestrator.lab import observe


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The versions whose sources were asked for, on a host that has all that a build takes."""
    versions: list[str] = []

    def unreachable(cache: Path, recipe: bundle.Recipe) -> str:
        versions.append(recipe.kubernetes)
        return "no proxy"

    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(bundle, "unreachable", unreachable)
    monkeypatch.setenv("LABCTL_OFFLINE", "1")
    monkeypatch.setattr(debian_mirror, "find", lambda: MirrorConfig("http://deb.example", None, None))
    return versions


def test_a_lab_without_kubernetes_asks_no_source_of_kubernetes(asked: list[str]) -> None:
    observe._buildable(spec.parse("profile: bare"), set(), None)
    assert asked == []


def test_a_named_origin_is_asked_also_for_a_lab_without_kubernetes(asked: list[str]) -> None:
    lab = spec.parse("profile: bare\npackages: {source: debian}")
    observe._buildable(lab, set(), None)
    assert asked == ["1.20.2"]


def test_a_cluster_asks_for_every_version_it_may_take(asked: list[str]) -> None:
    observe._buildable(spec.parse(""), set(), None)
    assert asked == [one.kubernetes for one in bundle.available() if one.kubernetes]


def test_a_mounted_folder_counts_from_lab_yml_and_links_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "data"))
    names = ("./data", "link", "~", "file", "gone", "loop")
    entries = ", ".join(f"{{host: {name!r}, node: /m{index}}}" for index, name in enumerate(names))
    (tmp_path / "lab.yml").write_text(f"mounts: [{entries}]\n", encoding="utf-8")
    found = observe._folders(spec.load(tmp_path / "lab.yml"))
    data = str(tmp_path / "data")
    assert [(one.path, one.is_folder, one.exists) for one in found[:3]] == [(data, True, True)] * 3
    assert [(one.is_folder, one.exists) for one in found[3:]] == [(False, True), (False, False), (False, False)]
