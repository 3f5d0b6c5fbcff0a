"""The recipe of the node image: what is in it, what is not, and when it counts as another image."""

from __future__ import annotations

import io
import json
import re
import runpy
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orchestrator import paths
from orchestrator.bundle import recipes
from orchestrator.providers.container import node_image

RECIPE = paths.data("images", "node")
# Installed by the roles, for all the world to see; a node image that brought them would fake the lab's speed.
LEFT_TO_ROLES = re.compile(r"docker|moby|containerd|runc|cri|podman|cni|calico|kube|etcd|golang")


@pytest.fixture(scope="module")
def grantable() -> dict[str, Any]:
    return runpy.run_path(str(RECIPE / "rootfs/usr/local/lib/labctl/grantable.py"))


def test_the_image_brings_no_container_runtime_cni_or_kubernetes_package() -> None:
    assert [name for name in node_image.packages(RECIPE) if LEFT_TO_ROLES.search(name)] == []


def test_every_bundle_has_what_the_image_is_made_of() -> None:
    assert set(node_image.packages(RECIPE)) <= set(recipes.load("system").node_packages)


def test_the_image_names_no_package_mirror() -> None:
    for path in node_image.recipe_files(RECIPE):
        assert not re.search(r"^(deb|URIs)\b", path.read_text(), re.MULTILINE), path


def test_the_el_stand_in_is_the_node_image_with_the_package_managers_of_el() -> None:
    recipes = node_image.recipes("el-stand-in")
    assert recipes[0] == RECIPE
    assert {"dnf", "python3-dnf", "rpm"} <= set(node_image.packages(*recipes))
    assert [name for name in node_image.packages(*recipes) if LEFT_TO_ROLES.search(name)] == []
    release = (recipes[1] / "rootfs/usr/lib/os-release").read_text()
    assert 'ID="rocky"' in release
    assert "stand-in" in release
    assert node_image.tag("el-stand-in").startswith("labctl/node-el-stand-in:")
    assert node_image.cached("el-stand-in") != node_image.cached()


def test_a_changed_recipe_is_another_image(tmp_path: Path) -> None:
    copy = tmp_path / "node"
    shutil.copytree(RECIPE, copy)
    before = node_image.recipe_hash(copy)
    assert before == node_image.recipe_hash(RECIPE)
    with (copy / "packages.txt").open("a") as list_of_packages:
        list_of_packages.write("vim\n")
    assert node_image.recipe_hash(copy) != before


def test_files_belong_to_root_with_plain_modes_whatever_the_checkout_has(tmp_path: Path) -> None:
    copy = tmp_path / "node"
    shutil.copytree(RECIPE, copy)
    (copy / "rootfs/etc/sudoers.d/vagrant").chmod(0o600)
    with tarfile.open(fileobj=io.BytesIO(node_image.rootfs_tar(copy))) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert members["usr/local/sbin/labctl-node-init"].mode == 0o755
    assert members["etc/sudoers.d/vagrant"].mode == 0o644
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}


def test_a_truncated_archive_of_the_cache_is_not_used(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"whole image")
    assert not node_image._is_intact(archive)
    node_image._sum_file(archive).write_text(node_image._sha256(archive) + "\n")
    assert node_image._is_intact(archive)
    archive.write_bytes(b"whole imag")
    assert not node_image._is_intact(archive)


def test_the_runtime_wrapper_changes_nothing_where_everything_can_be_granted(grantable: dict[str, Any]) -> None:
    process = {
        "capabilities": {"bounding": ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"]},
        "oomScoreAdj": -998,
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
    }
    granted = {"CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"}
    assert grantable["limited"](process, granted, 0, {"RLIMIT_NOFILE": 1024}) == process


def test_the_runtime_wrapper_drops_what_the_node_cannot_grant(grantable: dict[str, Any]) -> None:
    process = {
        "args": ["sleep"],
        "capabilities": {"bounding": ["CAP_SYS_ADMIN", "CAP_SYS_MODULE"], "ambient": None},
        "oomScoreAdj": -998,
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 4096},
            {"type": "RLIMIT_CORE", "hard": 10, "soft": 0},
        ],
    }
    assert grantable["limited"](process, {"CAP_SYS_ADMIN"}, 1, {"RLIMIT_NOFILE": 1024}) == {
        "args": ["sleep"],
        "capabilities": {"bounding": ["CAP_SYS_ADMIN"]},
        "oomScoreAdj": 1,
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024},
            {"type": "RLIMIT_CORE", "hard": 10, "soft": 0},
        ],
    }


def test_the_runtime_wrapper_rewrites_config_json_in_place(grantable: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"process": {"capabilities": {"bounding": ["CAP_NO_SUCH"]}}, "root": {"path": "r"}}))
    grantable["main"](str(config))
    assert json.loads(config.read_text()) == {"process": {"capabilities": {"bounding": []}}, "root": {"path": "r"}}


def test_a_process_json_of_runc_exec_is_rewritten_too(grantable: dict[str, Any], tmp_path: Path) -> None:
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"args": ["ls"], "capabilities": {"effective": ["CAP_NO_SUCH", "CAP_KILL"]}}))
    grantable["main"](str(process))
    assert json.loads(process.read_text())["capabilities"]["effective"] in ([], ["CAP_KILL"])
