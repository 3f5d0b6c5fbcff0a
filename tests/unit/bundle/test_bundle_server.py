"""A served bundle shows its own files and nothing else, and only while the block runs."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.errors import HostError
from tests.unit.bundle.test_bundle_manifest import CONTENT, make


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
        content: bytes = answer.read()
        return content


def test_serves_every_file_and_counts_requests(tmp_path: Path) -> None:
    with bundle.serve(make(tmp_path / "b"), "127.0.0.1", 0) as served:
        for name, content in CONTENT.items():
            assert get(f"{served.url}/{name}") == content
        assert get(f"{served.url}/apt/./Packages") == CONTENT["apt/Packages"]
        assert served.requests == {**dict.fromkeys(CONTENT, 1), "apt/Packages": 2}
        assert served.image_archive_url.endswith("/images.tar")
    with pytest.raises(urllib.error.URLError):
        get(f"{served.url}/key.asc")


def test_ranges_let_a_download_resume(tmp_path: Path) -> None:
    with bundle.serve(make(tmp_path / "b"), "127.0.0.1", 0) as served:
        whole = CONTENT["images.tar"]
        assert get(f"{served.url}/images.tar", Range="bytes=10-19") == whole[10:20]
        assert get(f"{served.url}/images.tar", Range="bytes=4990-") == whole[4990:]
        assert get(f"{served.url}/images.tar", Range="bytes=-3") == whole[-3:]
        with pytest.raises(urllib.error.HTTPError, match="416"):
            get(f"{served.url}/images.tar", Range="bytes=9000-")


@pytest.mark.parametrize(
    "path", ["/", "/apt/", "/../secret", "/%2e%2e/secret", "/apt/%2e%2e/%2e%2e/secret", "//etc/passwd"]
)
def test_nothing_outside_the_manifest_is_served(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with (
        bundle.serve(make(tmp_path / "b"), "127.0.0.1", 0) as served,
        pytest.raises(urllib.error.HTTPError, match="404"),
    ):
        get(served.url + path)


def test_a_second_bundle_lies_below_the_first(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b", "kubernetes-1.36.3-0123456789ab", "1.36.3")
    with bundle.serve(first, "127.0.0.1", 0, second) as served:
        assert b"1.36.3" in get(f"{served.url}/{bundle.ALSO}/manifest.json")
        assert b"1.36.3" not in get(f"{served.url}/manifest.json")
        assert get(f"{served.url}/also/apt/./Packages") == CONTENT["apt/Packages"]
    with bundle.serve(first, "127.0.0.1", 0) as served, pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{served.url}/also/manifest.json")


def test_busy_port_is_refused_with_a_fix(tmp_path: Path) -> None:
    info = make(tmp_path / "b")
    with bundle.serve(info, "127.0.0.1", 0) as served:
        port = int(served.url.rpartition(":")[2])
        with pytest.raises(HostError, match="cannot be served") as caught, bundle.serve(info, "127.0.0.1", port):
            pass
        assert str(port) in caught.value.fix
