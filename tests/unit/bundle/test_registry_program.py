"""The recipe of the registry's program, and what the cache makes of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle, paths
from orchestrator.bundle import manifest, recipes, registry_program
from tests.unit.bundle.test_bundle_manifest import make


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(paths.data("images", "bundle"), tmp_path / "recipe")


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_the_id_changes_with_every_input(copy: Path, file: str) -> None:
    before = registry_program.recipe(copy).id
    (copy / "registry" / file).write_text((copy / "registry" / file).read_text() + "\n")
    assert before.startswith("registry-")
    assert registry_program.recipe(copy).id != before


def test_no_bundle_of_a_lab_changes_with_it(copy: Path) -> None:
    before = [one.id for one in (*recipes.available(copy), *recipes.suites(copy))]
    shutil.rmtree(copy / "registry")
    assert [one.id for one in (*recipes.available(copy), *recipes.suites(copy))] == before


def test_it_is_found_in_the_cache_and_is_no_bundle_of_a_lab(tmp_path: Path) -> None:
    assert bundle.find_registry(tmp_path) is None
    wanted = registry_program.recipe()
    for name in ("registry-000000000000", wanted.id):
        info = make(manifest.store(tmp_path) / name, name, "")
        manifest.write(replace(info, id=name, kind="registry", components={"registry": "3.1.2"}))
    found = bundle.find_registry(tmp_path)
    assert found is not None
    assert (found.id, found.title) == (wanted.id, "the registry of labs, distribution 3.1.2")


def test_one_that_was_imported_does_where_none_of_this_labctl_is(tmp_path: Path) -> None:
    info = make(manifest.store(tmp_path) / "registry-000000000000", "registry-000000000000", "")
    manifest.write(replace(info, kind="registry"))
    found = bundle.find_registry(tmp_path)
    assert found is not None
    assert found.id == "registry-000000000000"
