"""Archives of images are kept as pieces, which several bundles have once; nobody who reads them sees that."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import tarfile
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.bundle import BundleInfo, manifest, pieces, worker_images
from orchestrator.events import discard
from orchestrator.verbs import cache as verb
from tests.unit.bundle.test_bundle_manifest import make

LAYER = 300_000
SHARED = "docker.io/labctl/web:1"
NAMES = ("kubernetes-1.36.3-0123456789ab", "kubernetes-1.37.2-0123456789ab")


def archive(target: Path, images: dict[str, bytes]) -> None:
    """An archive with one layer for each image."""
    listing = []
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

        for number, (ref, layer) in enumerate(images.items()):
            add(f"{number}.json", b"{}")
            add(f"{number}/layer.tar", layer)
            listing.append({"Config": f"{number}.json", "RepoTags": [ref], "Layers": [f"{number}/layer.tar"]})
        add("manifest.json", json.dumps(listing).encode())


def offered(place: Path, name: str, own: int) -> BundleInfo:
    """A bundle as it arrives: an image that both versions have, and the version's own API server."""
    info = make(place / name, name, name.split("-")[1])
    images = {SHARED: random.Random(0).randbytes(LAYER), f"registry.k8s.io/kube-apiserver:{own}": b"%d" % own * LAYER}
    archive(info.image_archive, images)
    with info.image_archive.open("rb") as whole:
        worker_images.derive(whole, info.path / manifest.WORKER_IMAGES)
    info = replace(info, images=tuple(images), files=manifest.describe(info.path))
    manifest.write(info)
    return info


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def taken(cache: Path, tmp_path: Path) -> list[BundleInfo]:
    """Two versions, imported."""
    return [
        bundle.import_bundle(cache, offered(tmp_path / "usb", name, own).path, discard)
        for own, name in enumerate(NAMES, start=1)
    ]


def layer_files(info: BundleInfo) -> set[int]:
    return {piece.stat().st_ino for piece in (info.path / pieces.FOLDER).iterdir()}


def test_an_archive_reads_back_byte_for_byte_from_anywhere(tmp_path: Path) -> None:
    file, generator = tmp_path / "images.tar", random.Random(1)
    archive(file, {"a": generator.randbytes(LAYER), "b": generator.randbytes(LAYER + 7), "c": b"small"})
    content = file.read_bytes()
    pieces.split(file)
    assert not file.exists()
    assert pieces.size_of(file) == len(content)
    with pieces.open_file(file) as stream:
        assert hashlib.file_digest(stream, "sha256").digest() == hashlib.sha256(content).digest()
        for _ in range(50):
            start = generator.randrange(len(content))
            size = generator.randrange(2 * LAYER)
            stream.seek(start)
            assert stream.read(size) == content[start : start + size]


def test_bundles_have_the_layers_they_share_once(taken: list[BundleInfo]) -> None:
    first, second = (layer_files(info) for info in taken)
    assert len(first & second) == 1
    assert len(first) == len(second) == 2
    assert all(bundle.verify(info) == [] for info in taken)


def test_the_workers_archive_takes_no_room_of_its_own(taken: list[BundleInfo]) -> None:
    own = sum(item.stat().st_size for item in taken[0].path.rglob("*") if item.is_file())
    assert own < 3 * LAYER < taken[0].size


def test_the_list_of_the_cache_counts_a_shared_layer_once(taken: list[BundleInfo]) -> None:
    listed = {entry.path.name: entry.size for entry in verb.contents().entries}
    assert listed[NAMES[0]] - listed[NAMES[1]] > 0.9 * LAYER


def test_a_bundle_goes_and_the_other_keeps_what_they_shared(taken: list[BundleInfo]) -> None:
    shutil.rmtree(taken[0].path)
    assert bundle.verify(taken[1]) == []


def test_one_flipped_byte_of_a_shared_layer_is_found_in_every_bundle_that_has_it(taken: list[BundleInfo]) -> None:
    (shared,) = layer_files(taken[0]) & layer_files(taken[1])
    piece = next(one for one in (taken[0].path / pieces.FOLDER).iterdir() if one.stat().st_ino == shared)
    content = bytearray(piece.read_bytes())
    content[1000] ^= 1
    with piece.open("r+b") as stream:
        stream.write(content)
    for info in taken:
        assert {problem.where.rpartition("/")[2] for problem in bundle.verify(info)} == {
            manifest.ALL_IMAGES,
            manifest.WORKER_IMAGES,
        }


def test_a_lost_layer_a_cut_one_and_a_damaged_index_are_found(taken: list[BundleInfo]) -> None:
    first, second = taken
    piece = min((first.path / pieces.FOLDER).iterdir())
    piece.write_bytes(piece.read_bytes()[:-1])
    assert bundle.verify(first)
    piece.unlink()
    assert "is missing" in bundle.verify(first)[0].what
    pieces.index_of(second.image_archive).write_text('[["../../secret", 3]]')
    assert bundle.verify(second)


def test_a_file_that_no_index_names_is_found(taken: list[BundleInfo]) -> None:
    (taken[0].path / pieces.FOLDER / "evil").write_bytes(b"")
    assert "not in the manifest" in bundle.verify(taken[0])[0].what


def test_nodes_get_the_archive_whole_and_in_ranges(taken: list[BundleInfo], tmp_path: Path) -> None:
    content = (tmp_path / "usb" / NAMES[0] / manifest.ALL_IMAGES).read_bytes()
    with bundle.serve(taken[0], "127.0.0.1", 0) as served:
        with urllib.request.urlopen(served.image_archive_url, timeout=5) as answer:
            assert answer.read() == content
        part = urllib.request.Request(served.image_archive_url, headers={"Range": f"bytes={LAYER - 5}-{LAYER + 4}"})
        with urllib.request.urlopen(part, timeout=5) as answer:
            assert answer.read() == content[LAYER - 5 : LAYER + 5]


def test_it_travels_as_a_file_and_as_a_directory(taken: list[BundleInfo], tmp_path: Path) -> None:
    bundle.export_bundle(taken[0], tmp_path / "lab.tar.gz", discard)
    for number, source in enumerate((tmp_path / "lab.tar.gz", taken[0].path)):
        again = bundle.import_bundle(tmp_path / f"elsewhere-{number}", source, discard)
        assert bundle.verify(again) == []
        assert replace(again, path=taken[0].path) == taken[0]


def test_a_bundle_of_an_earlier_labctl_stays_whole_and_good(cache: Path) -> None:
    info = offered(cache / "bundles", NAMES[0], 1)
    assert info.image_archive.is_file()
    assert bundle.verify(info) == []


def test_a_filesystem_without_links_keeps_the_copies(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    found = [
        bundle.import_bundle(cache, offered(tmp_path / "usb", name, own).path, discard)
        for own, name in enumerate(NAMES, start=1)
    ]
    assert not layer_files(found[0]) & layer_files(found[1])
    assert all(bundle.verify(info) == [] for info in found)
