"""Files that changed on their way, two commands at once, and SIGKILL in the middle: told in one message, or healed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import bundle
from orchestrator.bundle import BrokenBundleError, BundleInfo, manifest
from orchestrator.events import discard
from orchestrator.verify.job import SHELL_IMAGE, WEB_IMAGE
from tests.unit.bundle.test_bundle_manifest import make
from tests.unit.bundle.test_pieces import archive

ROOT = Path(__file__).resolve().parents[3]
ID = "kubernetes-1.37.2-0123456789ab"
# Large enough for a command to be at work on it when it is met there.
LARGE = 8_000_000


def offer(place: Path, size: int) -> BundleInfo:
    info = make(place / ID, ID, "1.37.2")
    content = random.Random(2).randbytes(size)
    archive(info.image_archive, {WEB_IMAGE: content, SHELL_IMAGE: b""})
    info = replace(info, images=(WEB_IMAGE, SHELL_IMAGE), files=manifest.describe(info.path))
    manifest.write(info)
    return info


def export(info: BundleInfo, file: Path) -> Path:
    bundle.export_bundle(info, file, discard)
    return file


def start(cache: Path, *args: str) -> subprocess.Popen[str]:
    """Run labctl with a cache of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", "bundle", *args, "--progress", "plain"],
        env={**os.environ, "LABCTL_OFFLINE": "1", "LABCTL_CACHE": str(cache), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_once(running: subprocess.Popen[str], is_time: Callable[[], bool]) -> None:
    """End a command with SIGKILL as soon as it has come so far."""
    deadline = time.monotonic() + 60
    while not is_time():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
    running.kill()
    running.communicate()


def largest(folder: Path) -> int:
    """Bytes of the largest file below a folder; what vanishes meanwhile is none."""
    sizes = [0]
    for item in folder.rglob("*"):
        try:
            sizes.append(item.stat().st_size)
        except OSError:
            continue
    return max(sizes)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.95])
def test_one_flipped_byte_of_an_exported_file_is_refused(tmp_path: Path, part: float) -> None:
    file = export(offer(tmp_path / "made", 300_000), tmp_path / "lab.tar.gz")
    content = bytearray(file.read_bytes())
    content[int(len(content) * part)] ^= 0x10
    file.write_bytes(content)
    with pytest.raises(BrokenBundleError) as caught:
        bundle.import_bundle(tmp_path / "cache", file, discard)
    assert "get the bundle again from where it was made" in caught.value.fix
    assert bundle.list_bundles(tmp_path / "cache") == []
    assert not list((tmp_path / "cache" / "bundles").glob(".import*"))


def test_an_exported_file_of_another_processor_is_refused(tmp_path: Path) -> None:
    info = replace(offer(tmp_path / "made", 1000), architecture="arm64")
    manifest.write(info)
    with pytest.raises(BrokenBundleError, match="is for arm64 machines; those of a lab are amd64"):
        bundle.import_bundle(tmp_path / "cache", export(info, tmp_path / "lab.tar.gz"), discard)
    assert bundle.list_bundles(tmp_path / "cache") == []


def test_two_commands_fill_one_part_at_once_and_both_have_it(tmp_path: Path) -> None:
    file, cache = export(offer(tmp_path / "made", LARGE), tmp_path / "lab.tar.gz"), tmp_path / "cache"
    running = [start(cache, "import", str(file)) for _ in range(2)]
    said = [one.communicate(timeout=120)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    assert [bundle.verify(info) for info in bundle.list_bundles(cache)] == [[]]


def test_an_import_that_was_killed_is_healed_by_the_next(tmp_path: Path) -> None:
    file, cache = export(offer(tmp_path / "made", LARGE), tmp_path / "lab.tar.gz"), tmp_path / "cache"
    kill_once(start(cache, "import", str(file)), lambda: largest(cache / "bundles") > 1_000_000)
    assert bundle.list_bundles(cache) == []
    again = start(cache, "import", str(file))
    assert again.wait(timeout=120) == 0, again.communicate()
    (taken,) = bundle.list_bundles(cache)
    assert bundle.verify(taken) == []
    assert {item.name for item in taken.path.parent.iterdir()} == {".lock", ID}


def test_an_export_that_was_killed_leaves_no_file_that_looks_whole(tmp_path: Path) -> None:
    info, file = offer(tmp_path / "cache" / "bundles", LARGE), tmp_path / "lab.tar.gz"
    arguments = (tmp_path / "cache", "export", str(file))
    kill_once(start(*arguments), lambda: largest(tmp_path) > 0 and any(tmp_path.glob(".lab.tar.gz.part")))
    assert not file.exists()
    again = start(*arguments)
    assert again.wait(timeout=120) == 0, again.communicate()
    assert not list(tmp_path.glob(".lab*"))
    assert bundle.verify(bundle.import_bundle(tmp_path / "elsewhere", file, discard)) == []
    assert bundle.verify(info) == []
