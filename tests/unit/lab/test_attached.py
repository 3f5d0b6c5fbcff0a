"""A second bundle: what fits a lab, what is refused, and who knows of it afterwards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.bundle import manifest
from orchestrator.errors import HostError, LabError, SpecError
from orchestrator.events import discard
from orchestrator.lab import claims
from orchestrator.lab.attached import Attached, attached_bundle, attached_key, inventory_variables, save_attached
from orchestrator.lab.package_source import access_to
from orchestrator.lab.state import Lab, save_plan
from orchestrator.model import SourcePlan
from orchestrator.paths import LabDir, write_private_copy
from orchestrator.verbs import bundle_attach, cache
from orchestrator.verbs.drill.listing import allowed_drill
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.providers.test_container_spec import PLAN

OWN, OTHER = "kubernetes-1.37.2-0123456789ab", "kubernetes-1.36.3-0123456789ab"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab of 1.37.2 on disk; the cache has its bundle and one of 1.36.3."""
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    for name, version in ((OWN, "1.37.2"), (OTHER, "1.36.3")):
        make(tmp_path / "cache" / "bundles" / name, name, version)
    assert PLAN.kubernetes
    kubernetes = replace(PLAN.kubernetes, version="1.37.2")
    source = SourcePlan(bundle_id=OWN, url="http://192.168.56.1:60080")
    plan = replace(PLAN, owner=str(tmp_path), source=source, kubernetes=kubernetes)
    directory = LabDir.beside(tmp_path / "lab.yml", plan.name)
    save_plan(directory, plan)
    return Lab(directory, plan)


@pytest.fixture
def attached(lab: Lab) -> Lab:
    """The same, with 1.36.3 attached."""
    found = bundle_of(lab, OTHER)
    key = write_private_copy(found.key_file, attached_key(lab.directory))
    access = access_to(found, f"{lab.plan.source.url}/also", key)
    save_attached(lab.directory, Attached(found.id, found.kubernetes, access))
    return lab


def bundle_of(lab: Lab, name: str) -> manifest.BundleInfo:
    return manifest.load(Path(lab.plan.owner) / "cache" / "bundles" / name)


def change(lab: Lab, name: str, **facts: object) -> None:
    """Write other facts into a bundle's manifest."""
    manifest.write(replace(bundle_of(lab, name), **facts))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [OTHER, "1.36.3", "v1.36.3", "1.36"])
def test_a_bundle_is_named_by_id_version_or_minor(lab: Lab, name: str) -> None:
    lines = bundle_attach.preview_attach(lab, name)
    assert lines[0] == f"attach {OTHER} to {lab.plan.name}"
    assert lines[1:] == [f"{node.name}: add its repository, load its images" for node in lab.plan.nodes]


@pytest.mark.parametrize("name", ["1.35", "1.35.7", "kubernetes-1.35.7-0123456789ab"])
def test_one_that_the_cache_lacks_is_refused_with_how_to_get_it(lab: Lab, name: str) -> None:
    with pytest.raises(SpecError, match=f"the cache has no bundle {name}") as caught:
        bundle_attach.preview_attach(lab, name)
    assert caught.value.fix.startswith("labctl bundle build --kubernetes 1.35")
    assert "import FILE" in caught.value.fix


@pytest.mark.parametrize("name", [OWN, "1.37.2", "1.37"])
def test_what_the_lab_installs_from_is_refused(lab: Lab, name: str) -> None:
    with pytest.raises(SpecError, match=r"has Kubernetes 1\.37\.2") as caught:
        bundle_attach.preview_attach(lab, name)
    assert "labctl bundle info" in caught.value.fix


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"architecture": "arm64"}, "is for arm64 machines; those of a lab are amd64"),
        ({"guest": "rocky-9"}, "has packages for rocky-9 alone"),
        ({"kind": "conformance"}, "the cache has no bundle"),
    ],
)
def test_one_for_another_platform_is_refused(lab: Lab, facts: dict[str, object], why: str) -> None:
    change(lab, OTHER, **facts)
    with pytest.raises(LabError, match=why) as caught:
        bundle_attach.preview_attach(lab, OTHER)
    assert caught.value.fix


def test_a_lab_without_kubernetes_has_nothing_to_attach_to(lab: Lab) -> None:
    bare = Lab(lab.directory, replace(lab.plan, kubernetes=None))
    with pytest.raises(SpecError, match="has no Kubernetes"):
        bundle_attach.preview_attach(bare, OTHER)


def test_a_damaged_one_is_found_before_any_node_hears_of_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_attach, "_running", lambda lab: None)
    bundle_of(lab, OTHER).image_archive.write_bytes(b"x")
    with pytest.raises(HostError, match=f"{OTHER} in .* is damaged"):
        bundle_attach.attach(lab, OTHER, discard)
    assert not inventory_variables(lab.directory)


def test_nothing_attached_cannot_be_detached(lab: Lab) -> None:
    with pytest.raises(SpecError, match="has no second bundle"):
        bundle_attach.preview_detach(lab)


def test_the_playbooks_find_the_second_repository_and_the_images_of_each_kind_of_node(attached: Lab) -> None:
    variables, base = inventory_variables(attached.directory), f"{attached.plan.source.url}/also"
    assert variables["attached_version"] == "1.36.3"
    assert variables["attached_apt_url"] == f"{base}/apt"
    whole = {"url": f"{base}/images.tar", "sha256": bundle_of(attached, OTHER).image_archive_sha256}
    # This bundle is of a layout without an archive for workers.
    assert variables["attached_images"] == {"control_plane": whole, "workers": whole}


def test_one_that_left_the_cache_is_named_with_both_ways_on(attached: Lab) -> None:
    shutil.rmtree(bundle_of(attached, OTHER).path)
    with pytest.raises(HostError, match=f"the attached bundle {OTHER} is not in") as caught:
        attached_bundle(attached.directory)
    assert "labctl bundle import FILE" in caught.value.fix
    assert "labctl bundle detach" in caught.value.fix


def test_one_that_was_made_again_has_to_be_attached_again(attached: Lab) -> None:
    bundle_of(attached, OTHER).key_file.write_text("new key")
    with pytest.raises(HostError, match="the nodes do not have its new key") as caught:
        attached_bundle(attached.directory)
    assert caught.value.fix == f"labctl bundle attach {OTHER}"


def test_a_prune_leaves_it(attached: Lab) -> None:
    assert claims.claim(attached.plan, attached.directory, keep=False)
    users = {entry.path.name: entry.labs for entry in cache.contents().entries}
    assert users[OTHER] == users[OWN] != ()


def test_a_drill_that_needs_it_says_how_to_get_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"labctl bundle attach 1\.36"):
        allowed_drill(lab, "upgrade-by-hand", None)


def test_a_drill_that_needs_it_is_allowed_where_it_is(attached: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.verbs.drill.listing.require_pod_network", lambda *_: None)
    assert allowed_drill(attached, "upgrade-by-hand", None).needs.attached == "older"
