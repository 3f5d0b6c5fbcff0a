"""The recipe of the conformance suite: what it makes, what it is kept apart from, and the tags that it takes over."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.bundle import compilers, images, manifest, modules_compile, recipes
from orchestrator.bundle.pin import suite_tags
from orchestrator.bundle.recipe import Recipe
from tests.unit.bundle.test_bundle_manifest import make

MANIFEST_GO = """
	configs[AgnhostPrev] = Config{list.PromoterE2eRegistry, "agnhost", "2.55"}
	configs[BusyBox] = Config{list.PromoterE2eRegistry, "busybox", "1.37.0-2"}
	configs[APIServer] = Config{list.PromoterE2eRegistry, "sample-apiserver", "1.29.2"}
	configs[Etcd] = Config{list.GcEtcdRegistry, "etcd", "3.7.0-0"}
	configs[Pause] = Config{list.GcRegistry, "pause", "3.10.2"}
	configs[AgnhostPrivate] = Config{list.PrivateRegistry, "agnhost", "2.6"}
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(paths.data("images", "bundle"), tmp_path / "recipe")


def suite(directory: Path | None = None) -> Recipe:
    return recipes.load("conformance", "1.37", directory)


@pytest.mark.parametrize(
    "file",
    [
        "common.toml",
        "conformance.toml",
        "conformance/files/passwd",
        "conformance/kubernetes-1.37/images.toml",
        "conformance/sample-apiserver/go.sum",
        "modules/etcd/go.sum",
    ],
)
def test_the_id_changes_with_every_input(copy: Path, file: str) -> None:
    before = suite(copy).id
    (copy / file).write_text((copy / file).read_text() + "\n")
    assert before.startswith("conformance-1.37.2-")
    assert suite(copy).id != before


def test_no_bundle_of_a_lab_changes_with_the_suite(copy: Path) -> None:
    before = [one.id for one in recipes.available(copy)]
    shutil.rmtree(copy / "conformance")
    (copy / "conformance.toml").unlink()
    assert [one.id for one in recipes.available(copy)] == before
    assert not list(recipes.suites(copy))


def test_every_program_and_file_of_its_images_is_there() -> None:
    inputs = suite()
    references = [reference for image in inputs.images for reference in image.files.values()]
    programs = {program for module in inputs.modules for program in (*module.programs, *module.tests)}
    packed = {one.partition(":")[2] for one in references if one.startswith(("bin:", "setuid:"))}
    assert packed | set(inputs.host_programs) == programs - {"etcdutl"}
    assert {one[5:] for one in references if one.startswith("file:")} == {file.name for file in inputs.files.iterdir()}


def test_it_has_images_and_programs_for_the_host_and_nothing_for_nodes() -> None:
    inputs = suite()
    assert inputs.host_programs == ("e2e.test", "ginkgo")
    assert not any([inputs.node_packages, inputs.packages, inputs.rpms])
    assert all(reference.startswith("labctl-e2e/") for reference in inputs.references)
    assert len(set(inputs.references)) == len(inputs.references)


def test_the_sample_api_server_is_the_one_that_the_suite_names() -> None:
    minor = suite().versions["sample_apiserver"].partition(".")[2]
    assert f"labctl-e2e/sample-apiserver:1.{minor}" in suite().references


def test_an_image_that_a_version_does_not_ask_for_is_left_out(copy: Path) -> None:
    tags = copy / "conformance" / "kubernetes-1.37" / "images.toml"
    tags.write_text("".join(line for line in tags.read_text().splitlines(keepends=True) if "nautilus" not in line))
    assert len(suite(copy).images) == len(suite().images) - 1


def test_programs_of_the_suite_outlive_a_build_of_another_bundle(tmp_path: Path) -> None:
    kept = {*modules_compile.names(suite()), *modules_compile.names(recipes.load("modules", "1.37"))}
    for name in (*kept, "kubernetes-1.36.0-0123456789ab"):
        (tmp_path / "compiled" / name).mkdir(parents=True)
    compilers.forget_old_programs(tmp_path)
    assert {place.name for place in (tmp_path / "compiled").iterdir()} == kept


def test_etcd_is_compiled_once_for_the_lab_and_its_suite() -> None:
    names = modules_compile.names(suite()) & modules_compile.names(recipes.load("modules", "1.37"))
    assert {name.partition("-")[0] for name in names} == {"etcd"}


def test_tags_are_read_from_the_source_of_the_suite() -> None:
    expected = {"agnhost_prev": "2.55", "busy_box": "1.37.0-2", "api_server": "1.29.2", "etcd": "3.7.0-0"}
    assert suite_tags(MANIFEST_GO) == expected


def test_a_program_may_run_as_its_owner_and_a_directory_be_open_to_all(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch()
    layer = images.write_layer(None, {"/bin/p": (program, 0o4755)}, {}, tmp_path / "layer.tar", {"/tmp": 0o1777})
    with tarfile.open(layer.path) as tar:
        modes = {member.name: member.mode for member in tar}
    assert modes == {"tmp": 0o1777, "bin": 0o755, "bin/p": 0o4755}


def test_the_newest_suite_of_a_version_is_found_and_no_bundle_of_labs(tmp_path: Path) -> None:
    for number, kind in enumerate(("lab", "conformance")):
        info = make(tmp_path / "bundles" / f"kubernetes-1.20.2-{number}")
        text = (info.path / "manifest.json").read_text().replace('"kind": "lab"', f'"kind": "{kind}"')
        (info.path / "manifest.json").write_text(text.replace(info.id, info.path.name))
    found = manifest.find_suite(tmp_path, "1.20.2")
    assert found is not None
    assert found.id == "kubernetes-1.20.2-1"
    assert found.title == "the conformance suite of Kubernetes 1.20.2"
    assert manifest.find_suite(tmp_path, "1.37.2") is None
