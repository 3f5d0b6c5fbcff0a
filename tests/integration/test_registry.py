"""The registry and its own program, without a node: what is pushed comes back, what is removed is gone."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import bundle, paths
from orchestrator.events import discard

pytestmark = [pytest.mark.real, pytest.mark.full_only, pytest.mark.takes(120)]

ROOT = Path(__file__).resolve().parents[2]
Images = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """Calls the program, its places on this host in the stead of a node's, beside a registry that runs."""
    home = tmp_path_factory.mktemp("registry")
    (home / "data").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    template = (ROOT / "roles/registry/templates/config.yml.j2").read_text(encoding="utf-8")
    filled = template.replace("{{ registry_address }}:{{ registry_port }}", address)
    (home / "config.yml").write_text(filled.replace("{{ __registry_directory }}", str(home / "data")))
    (home / "address").write_text(address)
    registry = bundle.build_registry(paths.cache_dir(), discard, "registry").program("registry")
    text = (ROOT / "roles/registry/files/registry_images.py").read_text(encoding="utf-8")
    places = {
        "/var/lib/labctl-registry": home / "data",
        "/etc/labctl-registry/address": home / "address",
        "/etc/labctl-registry/config.yml": home / "config.yml",
        "/usr/local/sbin/labctl-registry": registry,
    }
    for before, after in places.items():
        text = text.replace(f'"{before}"', f'"{after}"')
    (home / "images.py").write_text(text)

    def call(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = [sys.executable, "-I", str(home / "images.py"), *arguments]
        return subprocess.run(argv, input=stdin, capture_output=True, timeout=120)

    process = subprocess.Popen([registry, "serve", home / "config.yml"], stderr=(home / "log").open("w"))
    try:
        _wait_for(f"http://{address}/v2/")
        yield call
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


def saved(*names: str, layer: bytes = b"a layer" * 1000) -> bytes:
    """An archive as docker save writes it, of one image."""
    table = [{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]
    files = {"config.json": b'{"architecture":"amd64","os":"linux"}', "layer.tar": layer}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in {**files, "manifest.json": json.dumps(table).encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def names(images: Images) -> list[str]:
    return [image["name"] for image in json.loads(images("list").stdout)]


def test_an_image_comes_back_as_it_went(images: Images) -> None:
    pushed = images("push", stdin=saved("mine/app:v1", "quay.io/mine/app:v1"))
    assert pushed.stdout.decode().split() == ["docker.io/mine/app:v1", "quay.io/mine/app:v1"], pushed.stderr
    assert {"docker.io/mine/app:v1", "quay.io/mine/app:v1"} <= set(names(images))
    with tarfile.open(fileobj=io.BytesIO(images("pull", "quay.io/mine/app:v1").stdout)) as tar:
        (image,) = json.load(tar.extractfile("manifest.json") or io.BytesIO())
        layer = tar.extractfile(image["Layers"][0])
        assert image["RepoTags"] == ["quay.io/mine/app:v1"]
        assert layer is not None
        assert layer.read() == b"a layer" * 1000


def test_what_was_pulled_can_be_pushed_under_another_name(images: Images) -> None:
    images("push", "one:1", stdin=saved("any"))
    assert images("push", "two:1", stdin=images("pull", "one:1").stdout).returncode == 0
    digests = {image["name"]: image["digest"] for image in json.loads(images("list").stdout)}
    assert digests["docker.io/library/one:1"] == digests["docker.io/library/two:1"]


def test_a_removed_image_is_gone_and_others_of_the_same_content_stay(images: Images) -> None:
    images("push", "gone:1", "kept:1", stdin=saved("any", layer=b"shared"))
    assert images("remove", "gone:1").stdout == b"docker.io/library/gone:1\n"
    assert "docker.io/library/gone:1" not in names(images)
    assert images("pull", "kept:1").returncode == 0
    again = images("remove", "gone:1")
    assert (again.returncode, again.stderr) == (1, b"the registry has no docker.io/library/gone:1\n")


def test_a_removed_image_can_be_pushed_again(images: Images) -> None:
    for _ in range(2):
        assert images("push", "again:1", stdin=saved("any", layer=b"again")).returncode == 0
        assert images("pull", "again:1").returncode == 0
        images("remove", "again:1")


@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (["push"], b"junk", b"this is no archive of images"),
        (["push"], saved(), b"1 images of the archive have no name: give one with --as NAME"),
        (["push", "nginx@sha256:00"], saved("any"), b"names a digest; name a tag"),
        (["push", "Upper/Case"], saved("any"), b"Upper/Case is no name of an image"),
        (["pull", "nothing"], b"", b"the registry has no docker.io/library/nothing:latest"),
    ],
)
def test_what_cannot_be_done_is_said(images: Images, arguments: list[str], stdin: bytes, why: bytes) -> None:
    done = images(*arguments, stdin=stdin)
    assert done.returncode == 1
    assert why in done.stderr
