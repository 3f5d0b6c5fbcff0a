"""`bundle import` takes a bundle whole or not at all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.bundle import BrokenBundleError, BundleInfo
from orchestrator.errors import HostError
from orchestrator.events import discard
from tests.unit.bundle.test_bundle_manifest import make


@pytest.fixture
def offered(tmp_path: Path) -> BundleInfo:
    return make(tmp_path / "usb" / "any-name", "kubernetes-1.36.4-feedfeedfeed", "1.36.4")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def pack(directory: Path, archive: Path, top: str, extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(directory, arcname=top)
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return archive


def nothing_in(cache: Path) -> bool:
    return bundle.list_bundles(cache) == [] and not list((cache / "bundles").glob(".import*"))


def test_directory_is_imported_under_its_own_id(cache: Path, offered: BundleInfo) -> None:
    taken = bundle.import_bundle(cache, offered.path, discard)
    assert taken.path == cache / "bundles" / offered.id
    assert bundle.verify(taken) == []
    assert bundle.verify(offered) == []


@pytest.mark.parametrize("top", [".", "", "kubernetes-1.36.4"])
def test_archive_is_imported(cache: Path, offered: BundleInfo, tmp_path: Path, top: str) -> None:
    taken = bundle.import_bundle(cache, pack(offered.path, tmp_path / "b.tar.gz", top), discard)
    assert bundle.verify(taken) == []
    assert taken.kubectl.stat().st_mode & 0o111


def test_import_again_replaces(cache: Path, offered: BundleInfo) -> None:
    taken = bundle.import_bundle(cache, offered.path, discard)
    taken.key_file.write_bytes(b"damaged")
    assert bundle.verify(bundle.import_bundle(cache, offered.path, discard)) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "apt/../../evil"])
def test_archive_that_reaches_outside_is_refused(cache: Path, offered: BundleInfo, tmp_path: Path, name: str) -> None:
    evil = tarfile.TarInfo(name)
    evil.size = 1
    with pytest.raises(BrokenBundleError):
        bundle.import_bundle(cache, pack(offered.path, tmp_path / "b.tar", ".", (evil,)), discard)
    assert nothing_in(cache)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_archive_with_links_or_devices_is_refused(
    cache: Path, offered: BundleInfo, tmp_path: Path, kind: bytes
) -> None:
    evil = tarfile.TarInfo("apt/link")
    evil.type, evil.linkname = kind, "/etc/passwd"
    with pytest.raises(BrokenBundleError):
        bundle.import_bundle(cache, pack(offered.path, tmp_path / "b.tar", ".", (evil,)), discard)
    assert nothing_in(cache)


def test_directory_with_a_link_is_refused(cache: Path, offered: BundleInfo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    offered.key_file.rename(outside)
    offered.key_file.symlink_to(outside)
    with pytest.raises(BrokenBundleError):
        bundle.import_bundle(cache, offered.path, discard)
    assert nothing_in(cache)


def test_damaged_source_is_refused_and_leaves_the_cache_as_it_was(cache: Path, offered: BundleInfo) -> None:
    before = bundle.import_bundle(cache, offered.path, discard)
    offered.image_archive.write_bytes(b"short")
    with pytest.raises(BrokenBundleError) as caught:
        bundle.import_bundle(cache, offered.path, discard)
    assert caught.value.problems
    assert "bundle import" in caught.value.fix
    assert bundle.verify(before) == []


def test_truncated_archive_is_refused(cache: Path, offered: BundleInfo, tmp_path: Path) -> None:
    archive = pack(offered.path, tmp_path / "b.tar.gz", ".")
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(BrokenBundleError):
        bundle.import_bundle(cache, archive, discard)
    assert nothing_in(cache)


def test_what_is_no_bundle_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    for name in ("empty", "text", "nowhere"):
        with pytest.raises(HostError):
            bundle.import_bundle(cache, tmp_path / name, discard)
    assert nothing_in(cache)
