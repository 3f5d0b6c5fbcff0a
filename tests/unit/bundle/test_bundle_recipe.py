"""The recipe is complete, and its hash names the bundle."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from orchestrator import bundle, paths
from orchestrator.bundle import images, packages, recipe
from orchestrator.bundle.images import Layer


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(paths.data("images", "bundle"), tmp_path / "recipe")


def test_id_names_the_version_and_is_stable(copy: Path) -> None:
    assert bundle.build_id() == recipe.load(copy).id
    assert bundle.build_id().startswith("kubernetes-1.20.2-")


@pytest.mark.parametrize("name", ["bundle.toml", "compile.sh", "files/kubelet.service", "programs/whoami/main.go"])
def test_id_changes_with_every_input(copy: Path, name: str) -> None:
    before = recipe.load(copy).id
    path = copy / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert recipe.load(copy).id != before


def test_compiled_programs_outlive_a_change_of_packages_but_not_of_sources(copy: Path) -> None:
    before = recipe.load(copy).compiled_id
    (copy / "files" / "nginx.conf").write_text("")
    assert recipe.load(copy).compiled_id == before
    (copy / "programs" / "whoami" / "main.go").write_text("package main")
    assert recipe.load(copy).compiled_id != before


def test_every_file_that_the_recipe_names_is_there() -> None:
    inputs = recipe.load()
    tables = [image.files for image in inputs.images]
    tables += [{**p.files, **p.deb_files, **p.rpm_files} for p in inputs.packages]
    named = {reference[5:] for table in tables for reference in table.values() if reference.startswith("file:")}
    assert named == {path.name for path in (inputs.directory / "files").iterdir()}


def test_control_plane_images_carry_the_version() -> None:
    inputs = recipe.load()
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        assert f"registry.k8s.io/{name}:v{inputs.kubernetes}" in inputs.references


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1.1.1+ds1-3+b5", "1.1.1"),
        ("20.10.24+dfsg1-1+deb12u1+b6", "20.10.24"),
        ("2:9.0.1378-2", "9.0.1378"),
        ("1.6.20~ds1-1", "1.6.20"),
    ],
)
def test_upstream_version(debian: str, upstream: str) -> None:
    assert packages.upstream_version(debian) == upstream


def test_same_tree_gives_the_same_layer_owned_by_root(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "tool").write_text("tool")
    (tree / "bin").symlink_to("usr/bin")
    extra = tmp_path / "extra"
    extra.write_text("extra")
    layers = []
    for name in ("one.tar", "two.tar"):
        (tree / "usr" / "bin" / "tool").touch()
        layers.append(
            images.write_layer(tree, {"/etc/x/extra": (extra, 0o644)}, {"/usr/bin/t": "tool"}, tmp_path / name)
        )
    assert layers[0].sha256 == layers[1].sha256
    with tarfile.open(layers[0].path) as tar:
        assert tar.getnames() == ["bin", "usr", "usr/bin", "usr/bin/tool", "etc", "etc/x", "etc/x/extra", "usr/bin/t"]
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, images.EPOCH)}


def test_archive_stores_a_shared_layer_once(tmp_path: Path) -> None:
    layer = images.write_layer(None, {"/f": (Path(__file__), 0o644)}, {}, tmp_path / "layer.tar")
    assert isinstance(layer, Layer)
    inputs = recipe.load()
    images.write_archive([(image, (layer,)) for image in inputs.images], inputs, tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as tar:
        assert sum(name.endswith("/layer.tar") for name in tar.getnames()) == 1
    assert images.references(tmp_path / "images.tar") == list(inputs.references)
