"""What a baked node is made of, and which roles its clones can skip."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.host_access import Forward, Mount
from orchestrator.lab import baking
from orchestrator.model import Plan, SourcePlan
from orchestrator.providers.base import container_capabilities
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import KUBERNETES, PLAN

CAPABILITIES = container_capabilities("the kernel is the host's")
CONTAINERD = replace(KUBERNETES, runtime="containerd")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path))
    make(paths.bundle_dir("b"), "b", "1.20.2")
    return replace(PLAN, kubernetes=CONTAINERD)


def key_of(plan: Plan, image: str = "labctl/node:1") -> str:
    return baking.key_of(plan, CAPABILITIES, image)


def test_another_lab_of_the_same_kind_has_the_same_key(plan: Plan) -> None:
    network = replace(plan.network, subnet="10.9.8.0/24", gateway="10.9.8.1")
    nodes = tuple(replace(node, name=f"other-{node.name}", address="10.9.8.10", ssh_port=1) for node in plan.nodes)
    other = replace(plan, name="other", uuid="1" * 36, owner="/home/else", network=network, nodes=nodes)
    assert key_of(other) == key_of(plan)


def test_a_proxy_and_a_certificate_are_in_no_key(plan: Plan) -> None:
    assert key_of(replace(plan, http_proxy="http://user:secret@proxy:3128", ca="ca.pem")) == key_of(plan)


def test_the_machine_that_is_baked_has_nothing_of_this_host(plan: Plan) -> None:
    shared = replace(
        plan,
        mounts=(Mount("/home/reader/data", "/data", ("m-k8s",)),),
        forwards=(Forward("m-k8s", 80, 8080, "127.0.0.1"),),
    )
    baked = baking._baking_plan(shared, Path("/"))
    assert (baked.mounts, baked.forwards) == ((), ())
    assert key_of(shared) == key_of(plan)


def test_a_registry_is_in_no_key_and_its_runtime_is_configured_on_each_clone(plan: Plan) -> None:
    with_registry = replace(plan, registry=True)
    assert key_of(with_registry) == key_of(plan)
    assert set(baking.skippable(plan, CAPABILITIES)) - set(baking.skippable(with_registry, CAPABILITIES)) == {
        "containerd"
    }


def test_another_version_runtime_machine_image_or_bundle_has_another_key(plan: Plan, tmp_path: Path) -> None:
    make(paths.bundle_dir("c"), "c", "1.20.2")
    keys = [
        key_of(plan),
        key_of(plan, "labctl/node:2"),
        key_of(replace(plan, kubernetes=replace(CONTAINERD, version="1.21.0"))),
        key_of(replace(plan, kubernetes=KUBERNETES)),
        key_of(replace(plan, source=SourcePlan(bundle_id="c"))),
        key_of(replace(plan, base_packages=("vim",))),
    ]
    assert len(set(keys)) == len(keys)


def test_a_changed_role_has_another_key(plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = key_of(plan)
    changed = tmp_path / "main.yml"
    changed.write_text("---\n", encoding="utf-8")
    files = list(baking._role_files())
    monkeypatch.setattr(baking, "_role_files", lambda: iter([*files[:-1], changed]))
    assert key_of(plan) != before


def test_a_clone_skips_every_role_that_found_the_same_variables(plan: Plan) -> None:
    assert baking.skippable(plan, CAPABILITIES) == baking.SHARED_ROLES


def test_a_clone_that_lets_root_in_skips_as_much(plan: Plan) -> None:
    assert baking.skippable(replace(plan, root_login="key"), CAPABILITIES) == baking.SHARED_ROLES


def test_a_clone_behind_a_proxy_sets_up_its_runtime(plan: Plan) -> None:
    behind = replace(plan, http_proxy="http://proxy:3128")
    assert set(baking.SHARED_ROLES) - set(baking.skippable(behind, CAPABILITIES)) == {"containerd"}


def test_the_roles_are_those_of_the_playbooks() -> None:
    texts = [paths.data("playbooks", f"{name}.yml").read_text(encoding="utf-8") for name in ("prepare", "runtime")]
    named = set(re.findall(r"^ +name: (\w+)$", "\n".join(texts), re.MULTILINE))
    # The engine is applied by the roles of the two runtimes.
    assert named == {*baking.OWN_ROLES, *baking.SHARED_ROLES} - {"container_engine"}


def test_no_test_of_a_role_makes_another_key() -> None:
    parts = {part for file in baking._role_files() for part in file.parts}
    assert not {"tests", "molecule", "__pycache__"} & parts
    assert {"roles", "plugins", "playbooks"} <= parts
