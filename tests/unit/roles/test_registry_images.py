"""How the registry's own program reads names and archives; what it stores is asked of a real registry in tests/e2e."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("registry_images", ROOT / "roles/registry/files/registry_images.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "repository", "tag", "full"),
    [
        ("nginx", "library/nginx", "latest", "docker.io/library/nginx:latest"),
        ("me/app:v1", "me/app", "v1", "docker.io/me/app:v1"),
        ("docker.io/me/app", "me/app", "latest", "docker.io/me/app:latest"),
        ("quay.io/library/nginx:1", "quay.io/library/nginx", "1", "quay.io/library/nginx:1"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause", "3.10", "registry.k8s.io/pause:3.10"),
        ("company.example:8443/app", "other/app", "latest", "*/app:latest"),
        ("localhost:5000/app:v1", "other/app", "v1", "*/app:v1"),
    ],
)
def test_a_name_leads_where_the_runtimes_look(
    program: ModuleType, name: str, repository: str, tag: str, full: str
) -> None:
    assert program.parse(name) == (repository, tag)
    assert program.full_name(repository, tag) == full


@pytest.mark.parametrize("name", ["Upper/Case", "a//b", "-a", "a:b:c", "a b", "", "quay.io/", "a:"])
def test_what_is_no_name_is_refused(program: ModuleType, name: str) -> None:
    with pytest.raises(program.Refused, match="is no name of an image"):
        program.parse(name)


def test_a_digest_is_refused(program: ModuleType) -> None:
    with pytest.raises(program.Refused, match="name a tag"):
        program.parse("nginx@sha256:abc")


def test_containerd_asks_in_the_folders_that_the_registry_has(program: ModuleType) -> None:
    variables = yaml.safe_load((ROOT / "roles/containerd/vars/main.yml").read_text(encoding="utf-8"))
    asked = {
        Path(one["path"]).parent.name: re.search(r"'folder': '([^']*)'", one["content"])
        for one in variables["__containerd_hosts"]
    }
    folders = {host: found.group(1) for host, found in asked.items() if found}
    stored = {host: host for host in program.HOSTS}
    assert folders == {program.HUB: "", "_default": program.OTHERS, **stored}


def archive(program: ModuleType, files: dict[str, Any]) -> Any:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    packed.seek(0)
    return program.Archive(packed)


def entry(kind: str, digest: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": 2, **more}


def test_an_archive_of_docker_save_names_its_images(program: ModuleType) -> None:
    table = [{"Config": "c.json", "RepoTags": ["me/app:v1"], "Layers": ["l/layer.tar"]}]
    found = archive(program, {"manifest.json": table, "c.json": {}, "l/layer.tar": b""}).images()
    assert found == [{"names": ["me/app:v1"], "config": "c.json", "layers": ["l/layer.tar"]}]


@pytest.mark.parametrize(("annotation", "names"), [("me/app:v1", ["me/app:v1"]), ("latest", [])])
def test_an_oci_archive_gives_the_image_of_this_processor(
    program: ModuleType, annotation: str, names: list[str]
) -> None:
    platforms = [
        entry(program.MANIFEST, "arm", platform={"architecture": "other"}),
        entry(program.MANIFEST, "own", platform={"architecture": program.ARCHITECTURE}),
    ]
    named = {"org.opencontainers.image.ref.name": annotation}
    files = {
        "index.json": {"manifests": [entry(program.INDEXES[0], "index", annotations=named)]},
        "blobs/sha256/index": {"mediaType": program.INDEXES[0], "manifests": platforms},
        "blobs/sha256/own": {"config": entry(program.CONFIG, "config"), "layers": [entry(program.LAYER, "layer")]},
    }
    assert archive(program, files).images() == [
        {"names": names, "config": "blobs/sha256/config", "layers": ["blobs/sha256/layer"]}
    ]


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_what_is_no_archive_is_refused(program: ModuleType, content: bytes) -> None:
    with pytest.raises(program.Refused, match="no archive of images"):
        program.Archive(io.BytesIO(content)).images()


def test_another_archive_is_refused(program: ModuleType) -> None:
    with pytest.raises(program.Refused, match=r"neither manifest\.json nor index\.json"):
        archive(program, {"notes.txt": b"hello"}).images()
