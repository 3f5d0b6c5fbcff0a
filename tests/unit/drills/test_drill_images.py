"""Every manifest of ours names only images that every lab has: those of drills, exercises and verify's probe pods."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from orchestrator.bundle import recipes
from orchestrator.verify.job import ClusterTarget
from orchestrator.verify.probe_manifest import probe_manifest

ROOT = Path(__file__).resolve().parents[3]
DRILLS = sorted(path.parent for path in (ROOT / "drills").glob("*/drill.yml"))
EXERCISES = ROOT / "roles" / "lab_materials"
# Images that no lab has, on purpose: drill, image, reason.
MISSING_ON_PURPOSE = {
    ("image-pull", "labctl/nginx:1.99"): "the exercise is a tag that nobody can pull",
    ("rollout-undo", "labctl/nginx:1.99"): "the update to a tag that nobody can pull is taken back",
}
# An image where a command line names it, and anything that looks like NAME/NAME:TAG wherever it stands.
_IN_TEXT = re.compile(
    r"--image[= ]\s*([\w][\w./:@-]*)"
    r"|\bset image \S+ (?:\S+=)([\w./:@-]+)"
    r"|(?<![\w./:-])((?:[a-z0-9.-]+(?::\d+)?/)+[a-z0-9._-]+:\w[\w.-]*)"
)


def images_of(value: Any) -> Iterator[str]:
    """The images that a document names: as `image` of its objects, and in its texts."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "image" and isinstance(item, str):
                yield item
            else:
                yield from images_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from images_of(item)
    elif isinstance(value, str):
        for match in _IN_TEXT.finditer(value):
            yield next(filter(None, match.groups()))


def images_of_drill(directory: Path) -> set[str]:
    """The images of drill.yml and of the files beside it."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return set(images_of([documents_of(path.name, path.read_text(encoding="utf-8")) for path in files]))


def documents_of(name: str, text: str) -> list[Any]:
    """The documents of a YAML file; of any other file its text."""
    return list(yaml.safe_load_all(text)) if re.search(r"\.ya?ml\b", name) else [text]


@cache
def bundles() -> tuple[tuple[str, frozenset[str]], ...]:
    """Id and images of every bundle that can be built."""
    return tuple((one.id, frozenset(one.references)) for one in recipes.available() if one.kubernetes)


def unknown_images(drill: str, images: set[str]) -> list[str]:
    """A sentence for each image that one of the bundles lacks."""
    return [
        f"drill {drill} names {image}, which bundle {bundle} does not have"
        for image in sorted(images)
        for bundle, known in bundles()
        if image not in known and (drill, image) not in MISSING_ON_PURPOSE
    ]


def test_there_are_bundles_of_go_modules_and_of_debian() -> None:
    assert {one.origin for one in recipes.available() if one.kubernetes} == {"modules", "debian"}


@pytest.mark.parametrize("directory", DRILLS, ids=lambda path: path.name)
def test_a_drill_names_only_images_that_every_bundle_has(directory: Path) -> None:
    assert unknown_images(directory.name, images_of_drill(directory)) == []


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ('image: "labctl/whoami:1"', 'image: "labctl/whoami:2"'),
        ('image: "labctl/whoami:1"', "image: busybox"),
        ("kubectl -n drill set image deployment/shop shop=labctl/nginx:1.22", "kubectl run web --image=httpd:2.4"),
        (
            "kubectl -n drill set image deployment/shop shop=labctl/nginx:1.22",
            "kubectl set image deployment/shop *=httpd",
        ),
        (
            "kubectl -n drill set image deployment/shop shop=labctl/nginx:1.22",
            "crictl pull docker.io/library/httpd:2.4",
        ),
    ],
)
def test_an_unknown_image_is_named_with_its_drill(known: str, unknown: str, tmp_path: Path) -> None:
    source = next(path for path in DRILLS if known in (path / "drill.yml").read_text(encoding="utf-8"))
    copy = Path(shutil.copytree(source, tmp_path / "new"))
    text = (copy / "drill.yml").read_text(encoding="utf-8")
    (copy / "drill.yml").write_text(text.replace(known, unknown), encoding="utf-8")
    image = re.split(r"[ =]", unknown)[-1].strip('"')
    found = unknown_images(source.name, images_of_drill(copy))
    assert any(f"drill {source.name} names {image}, which bundle kubernetes-" in line for line in found)


def test_a_manifest_beside_a_drill_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "drill.yml").write_text("version: 2\n")
    (tmp_path / "pod.yml").write_text("kind: Pod\nspec: {containers: [{image: httpd}]}\n---\nspec: {image: busybox}\n")
    assert images_of_drill(tmp_path) == {"httpd", "busybox"}


def test_what_only_looks_like_an_image_is_none() -> None:
    text = "https://127.0.0.1:6443/readyz /etc/a:1 -v /root/drill:/backup sed 's/^ *image: *//p' --image=..."
    assert list(images_of(text)) == []


def test_an_image_that_is_missing_on_purpose_is_still_named_and_still_missing() -> None:
    named = {(path.name, image) for path in DRILLS for image in images_of_drill(path)}
    bundled = {image for _, known in bundles() for image in known}
    assert [pair for pair in MISSING_ON_PURPOSE if pair not in named or pair[1] in bundled] == []


def exercise_images() -> set[str]:
    """The images of ~/labs as the role's own defaults write it."""
    defaults = yaml.safe_load((EXERCISES / "defaults" / "main.yml").read_text())
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    # The book's own images stand in its manifests, and its script has none.
    files = [path for path in sorted((EXERCISES / "templates").glob("*.yaml.j2")) if not path.name.startswith("book-")]
    rendered = {
        path.name: environment.from_string(path.read_text(encoding="utf-8")).render(**defaults) for path in files
    }
    return set(images_of([documents_of(name, text) for name, text in rendered.items()]))


def probe_images() -> set[str]:
    """The images of the pods with which verify looks around."""
    return set(images_of(probe_manifest(ClusterTarget("m-k8s", "1.37.2", {}, "bridge_cni"), "probe", 1)))


@pytest.mark.parametrize("images", [exercise_images(), probe_images()], ids=["exercises", "probe pods"])
def test_exercises_and_probe_pods_name_only_images_that_every_bundle_has(images: set[str]) -> None:
    assert images
    assert [(bundle, image) for bundle, known in bundles() for image in images - known] == []
