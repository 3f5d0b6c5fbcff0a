"""Boxes without a public registry: only a box whose sha256 somebody confirmed is ever taken in or used."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.errors import HostError, SpecError
from orchestrator.events import discard
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan
from orchestrator.providers.vagrant import box_build, boxes
from orchestrator.verbs.box import CachedBox, import_box
from tests.web import serving


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make_box(tmp_path: Path) -> Callable[..., Path]:
    def make(**files: str) -> Path:
        path = tmp_path / "some.box"
        with tarfile.open(path, "w:gz") as archive:
            for name, text in files.items():
                info = tarfile.TarInfo(f"./{name.replace('_', '.')}")
                info.size = len(text)
                archive.addfile(info, BytesIO(text.encode()))
        return path

    return make


@pytest.fixture
def plan(observe: Callable[..., Observed], tmp_path: Path) -> Plan:
    file = tmp_path / "lab.yml"
    file.write_text("version: 1\nprovider: libvirt\n", encoding="utf-8")
    return make_plan(spec.load(file), catalog.load(), observe(), "render")


METADATA = json.dumps({"provider": "libvirt", "format": "qcow2"})


def test_a_box_without_a_confirmed_sum_is_refused(make_box: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="nobody has confirmed a sha256") as caught:
        boxes.import_box(make_box(metadata_json=METADATA), "debian-12", None)
    assert "--sha256" in caught.value.fix
    assert boxes.stored() == []


def test_a_box_at_a_url_is_asked_for_once_and_remembered(make_box: Callable[..., Path]) -> None:
    file, questions = make_box(metadata_json=METADATA), []
    with serving(file.parent) as site:
        url = f"{site.url}/{file.name}"

        def take(answer: bool) -> CachedBox:
            def ask(question: str) -> bool:
                questions.append(question)
                return answer

            return import_box(url, "debian-12", None, ask=ask, emit=discard)

        with pytest.raises(HostError, match="is not confirmed") as caught:
            take(answer=False)
        assert caught.value.fix.startswith(f"--sha256 {boxes.sum_of(file)}")
        assert boxes.stored() == []
        assert take(answer=True).box.source == url
        assert take(answer=False).box.sha256 == boxes.sum_of(file)
    assert len(questions) == 2
    assert boxes.sum_of(file) in questions[0]


def test_a_box_that_changed_at_its_url_is_refused(make_box: Callable[..., Path], tmp_path: Path) -> None:
    file = make_box(metadata_json=METADATA)
    with serving(tmp_path) as site:
        url = f"{site.url}/{file.name}"
        import_box(url, "debian-12", boxes.sum_of(file), ask=lambda _: False, emit=discard)
        make_box(metadata_json=METADATA, box_img="another")
        with pytest.raises(HostError, match="is not what it was at its first fetch") as caught:
            import_box(url, "debian-12", None, ask=lambda _: True, emit=discard)
    assert caught.value.fix.startswith(f"--sha256 {boxes.sum_of(file)}")


def test_offline_no_box_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABCTL_OFFLINE", "1")
    with pytest.raises(HostError, match="LABCTL_OFFLINE is set") as caught:
        import_box("https://boxes.invalid/some.box", "debian-12", "0" * 64, ask=lambda _: True, emit=discard)
    assert caught.value.fix == "labctl box import FILE"


def test_a_box_with_another_sum_is_refused(make_box: Callable[..., Path]) -> None:
    with pytest.raises(HostError, match="has the sha256"):
        boxes.import_box(make_box(metadata_json=METADATA), "debian-12", "0" * 64)


def test_an_imported_box_is_what_vagrant_is_told_with_its_sum(make_box: Callable[..., Path], plan: Plan) -> None:
    file = make_box(metadata_json=METADATA, box_img="disk")
    box = boxes.import_box(file, "debian-12", boxes.sum_of(file))
    chosen = boxes.choose(plan)
    assert box.provider == "libvirt"
    assert chosen.name == f"labctl/debian-12-{box.sha256[:8]}"
    assert (chosen.url, chosen.sha256) == (box.path.as_uri(), box.sha256)
    assert boxes.obstacle(plan) is None


def test_one_flipped_byte_in_the_cache_is_noticed(make_box: Callable[..., Path]) -> None:
    file = make_box(metadata_json=METADATA)
    box = boxes.import_box(file, "debian-12", boxes.sum_of(file))
    assert not boxes.damaged(box)
    file.unlink()
    data = bytearray(box.path.read_bytes())
    data[len(data) // 2] ^= 1
    box.path.write_bytes(data)
    assert boxes.damaged(box)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"metadata_json": '{"provider": "hyperv"}'}, "is for the provider hyperv"),
        ({"readme_txt": "hello"}, "has no metadata.json"),
        ({"metadata_json": "{"}, "is not a Vagrant box"),
    ],
)
def test_what_is_no_box_of_ours_is_refused(make_box: Callable[..., Path], files: dict[str, str], words: str) -> None:
    file = make_box(**files)
    with pytest.raises(HostError, match=words):
        boxes.import_box(file, "debian-12", boxes.sum_of(file))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.box"
    file.write_text("no tar", encoding="utf-8")
    with pytest.raises(HostError, match="not a Vagrant box"):
        boxes.import_box(file, "debian-12", boxes.sum_of(file))


def test_an_old_virtualbox_box_without_metadata_is_known_by_its_ovf(make_box: Callable[..., Path]) -> None:
    assert boxes.provider_of(make_box(box_ovf="<Envelope/>")) == "virtualbox"


def test_a_new_machine_waits_for_a_box_that_is_missing_or_of_an_older_recipe(
    make_box: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_build, "problems", list)
    assert box_build.due("debian-12", "libvirt")
    file = make_box(metadata_json=METADATA, box_img="disk")
    for source, due in ((box_build.source(), False), ("built from recipe 0123456789ab", True), (str(file), False)):
        boxes.keep(file, "debian-12", "libvirt", boxes.sum_of(file), source)
        assert box_build.due("debian-12", "libvirt") == due, source


def test_a_box_of_an_older_recipe_is_taken_where_none_can_be_built(
    make_box: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_box(metadata_json=METADATA, box_img="disk")
    boxes.keep(file, "debian-12", "libvirt", boxes.sum_of(file), "built from recipe 0123456789ab")
    monkeypatch.setattr(box_build, "problems", lambda: ["no mirror"])
    assert not box_build.due("debian-12", "libvirt")


def test_without_a_box_the_problem_says_how_one_is_had(plan: Plan) -> None:
    problem = boxes.obstacle(plan)
    assert problem is not None
    assert "2026-12-31" in problem.what
    assert "labctl box build" in problem.fix
    assert boxes.obstacle(plan, ("bento/debian-12",)) is None


def test_an_unknown_guest_is_refused_with_the_names(make_box: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="not in the catalog"):
        boxes.import_box(make_box(metadata_json=METADATA), "debian-99", "0" * 64)
