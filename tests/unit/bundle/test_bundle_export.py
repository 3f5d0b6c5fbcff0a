"""A bundle leaves as one file and comes back the same, signed if somebody wants it so."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.bundle import BrokenBundleError, BundleInfo, manifest, worker_images
from orchestrator.errors import HostError, SpecError
from orchestrator.events import discard
from tests.unit.bundle.test_bundle_manifest import make

NEEDED = ("labctl/whoami:1", "labctl/shell:1")
IMAGES = ("registry.k8s.io/kube-apiserver:v1.37.2", *NEEDED)


def archive(target: Path, references: Sequence[str]) -> None:
    """An archive of images as the builder writes it, every layer shared by all."""
    with tarfile.open(target, "w") as tar:
        listing = []
        for number, reference in enumerate(references):
            for name in (f"{number}.json", f"layer{number}/layer.tar"):
                entry = tarfile.TarInfo(name)
                entry.size = 5
                tar.addfile(entry, io.BytesIO(b"bytes"))
            listing.append(
                {"Config": f"{number}.json", "RepoTags": [reference], "Layers": [f"layer{number}/layer.tar"]}
            )
        body = json.dumps(listing).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(body)
        tar.addfile(entry, io.BytesIO(body))


@pytest.fixture
def whole(tmp_path: Path) -> BundleInfo:
    info = make(tmp_path / "cache" / "bundles" / "kubernetes-1.37.2-0123456789ab", "kubernetes-1.37.2-0123456789ab")
    archive(info.image_archive, IMAGES)
    with info.image_archive.open("rb") as stream:
        worker_images.derive(stream, info.path / manifest.WORKER_IMAGES)
    info = replace(info, images=IMAGES, files=manifest.describe(info.path))
    manifest.write(info)
    return info


@pytest.fixture
def exported(whole: BundleInfo, tmp_path: Path) -> Path:
    bundle.export_bundle(whole, tmp_path / "lab.tar.gz", discard)
    return tmp_path / "lab.tar.gz"


def test_what_is_imported_is_what_was_exported(whole: BundleInfo, exported: Path, tmp_path: Path) -> None:
    taken = bundle.import_bundle(tmp_path / "elsewhere", exported, discard, needed=NEEDED)
    assert replace(taken, path=whole.path) == whole
    assert bundle.verify(taken) == []


def test_the_workers_archive_stays_behind_and_is_made_again(whole: BundleInfo, exported: Path, tmp_path: Path) -> None:
    with tarfile.open(exported) as tar:
        assert not [name for name in tar.getnames() if name.endswith(manifest.WORKER_IMAGES)]
    taken = bundle.import_bundle(tmp_path / "elsewhere", exported, discard)
    with taken.open(manifest.WORKER_IMAGES) as stream:
        assert stream.read() == (whole.path / manifest.WORKER_IMAGES).read_bytes()


def test_workers_get_no_image_of_the_control_plane(whole: BundleInfo) -> None:
    with tarfile.open(whole.path / manifest.WORKER_IMAGES) as tar:
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        assert [image["RepoTags"][0] for image in json.load(stream)] == list(NEEDED)
        assert "0.json" not in tar.getnames()


def test_a_workers_archive_of_other_bytes_goes_along(whole: BundleInfo, tmp_path: Path) -> None:
    (whole.path / manifest.WORKER_IMAGES).write_bytes(b"made by an earlier labctl")
    older = replace(whole, files=manifest.describe(whole.path))
    manifest.write(older)
    bundle.export_bundle(older, tmp_path / "older.tar.gz", discard)
    taken = bundle.import_bundle(tmp_path / "elsewhere", tmp_path / "older.tar.gz", discard)
    assert (taken.path / manifest.WORKER_IMAGES).read_bytes() == b"made by an earlier labctl"


def test_a_damaged_bundle_is_not_exported(whole: BundleInfo, tmp_path: Path) -> None:
    (whole.path / "key.asc").write_bytes(b"other")
    with pytest.raises(BrokenBundleError):
        bundle.export_bundle(whole, tmp_path / "lab.tar.gz", discard)
    assert not (tmp_path / "lab.tar.gz").exists()


def test_an_existing_file_is_not_replaced(whole: BundleInfo, tmp_path: Path) -> None:
    (tmp_path / "lab.tar.gz").write_text("mine")
    with pytest.raises(HostError, match="exists and is not replaced"):
        bundle.export_bundle(whole, tmp_path / "lab.tar.gz", discard)
    assert (tmp_path / "lab.tar.gz").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "arm64"}, "is for arm64 machines; those of a lab are amd64"),
        ({"images": (IMAGES[0], NEEDED[0])}, "lacks the image labctl/shell:1, which verify needs"),
    ],
)
def test_a_whole_bundle_that_is_of_no_use_here_is_refused(
    whole: BundleInfo, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    manifest.write(replace(whole, **change))  # type: ignore[arg-type]
    with pytest.raises(BrokenBundleError, match=message):
        bundle.import_bundle(tmp_path / "elsewhere", whole.path, discard, needed=NEEDED)
    assert bundle.list_bundles(tmp_path / "elsewhere") == []


def test_a_truncated_export_is_refused(exported: Path, tmp_path: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-200])
    with pytest.raises(BrokenBundleError):
        bundle.import_bundle(tmp_path / "elsewhere", exported, discard)
    assert bundle.list_bundles(tmp_path / "elsewhere") == []


def test_what_two_bundles_have_in_common_lies_on_the_disk_once(tmp_path: Path) -> None:
    taken = []
    for name in ("one", "two"):
        offered = make(tmp_path / name, f"kubernetes-1.37.2-{name}")
        (offered.path / "apt" / "large.deb").write_bytes(b"deb" * 100_000)
        manifest.write(replace(offered, files=manifest.describe(offered.path)))
        taken.append(bundle.import_bundle(tmp_path / "elsewhere", offered.path, discard))
    files = [info.path / "apt" / "large.deb" for info in taken]
    assert files[0].samefile(files[1])
    assert [bundle.verify(info) for info in taken] == [[], []]


def test_a_damaged_file_of_another_bundle_is_not_shared(tmp_path: Path) -> None:
    for name in ("one", "two"):
        offered = make(tmp_path / name, f"kubernetes-1.37.2-{name}")
        (offered.path / "apt" / "large.deb").write_bytes(b"deb" * 100_000)
        manifest.write(replace(offered, files=manifest.describe(offered.path)))
    first = bundle.import_bundle(tmp_path / "elsewhere", tmp_path / "one", discard)
    (first.path / "apt" / "large.deb").write_bytes(b"bad" * 100_000)
    second = bundle.import_bundle(tmp_path / "elsewhere", tmp_path / "two", discard)
    assert bundle.verify(second) == []


class TestSignature:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> tuple[Path, Path]:
        for name in ("own", "other"):
            make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
            subprocess.run(make_key, check=True, timeout=60)
        return tmp_path / "own", tmp_path / "other"

    def test_a_signed_bundle_is_taken_where_its_key_is_asked_for(
        self, whole: BundleInfo, keys: tuple[Path, Path], tmp_path: Path
    ) -> None:
        bundle.sign(whole, keys[0])
        assert bundle.verify(whole) == []
        bundle.export_bundle(whole, tmp_path / "signed.tar.gz", discard)
        key = keys[0].with_suffix(".pub")
        taken = bundle.import_bundle(tmp_path / "elsewhere", tmp_path / "signed.tar.gz", discard, key=key)
        bundle.require_signature(taken, key)

    def test_one_without_a_signature_is_refused(
        self, whole: BundleInfo, keys: tuple[Path, Path], tmp_path: Path
    ) -> None:
        with pytest.raises(BrokenBundleError, match="has no signature"):
            bundle.import_bundle(tmp_path / "elsewhere", whole.path, discard, key=keys[0].with_suffix(".pub"))
        assert bundle.list_bundles(tmp_path / "elsewhere") == []

    def test_a_signature_of_another_key_is_refused(self, whole: BundleInfo, keys: tuple[Path, Path]) -> None:
        bundle.sign(whole, keys[1])
        with pytest.raises(BrokenBundleError, match=r"is signed by another key \(SHA256:\S+\), not by .*own\.pub"):
            bundle.require_signature(whole, keys[0].with_suffix(".pub"))

    def test_a_manifest_that_changed_after_the_signature_is_refused(
        self, whole: BundleInfo, keys: tuple[Path, Path]
    ) -> None:
        bundle.sign(whole, keys[0])
        manifest.write(replace(whole, key_fingerprint="EVIL"))
        with pytest.raises(BrokenBundleError, match="was changed after it was signed"):
            bundle.require_signature(whole, keys[0].with_suffix(".pub"))

    def test_what_is_no_key_is_named(self, whole: BundleInfo, tmp_path: Path) -> None:
        (tmp_path / "nokey").write_text("nothing")
        with pytest.raises(HostError, match="cannot be signed with"):
            bundle.sign(whole, tmp_path / "nokey")

    def test_a_private_key_where_the_public_one_belongs_is_told(
        self, whole: BundleInfo, keys: tuple[Path, Path]
    ) -> None:
        bundle.sign(whole, keys[0])
        with pytest.raises(SpecError, match="own is not a public SSH key") as caught:
            bundle.require_signature(whole, keys[0])
        assert ".pub file" in caught.value.fix
