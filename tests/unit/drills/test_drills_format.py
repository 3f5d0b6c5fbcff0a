"""drill.yml: strict, every problem at once with its place, and every drill of ours is sound."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from orchestrator.drills import catalog
from orchestrator.drills.catalog import load_all, load_one
from orchestrator.drills.load import load
from orchestrator.drills.messages import MESSAGES, Wording, choose_language, duration
from orchestrator.drills.schema import LANGUAGES, json_schema
from orchestrator.errors import SpecError
from orchestrator.verbs.drill.listing import known_checks, lint_drills

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "drills"
OURS = sorted(path.parent for path in (ROOT / "drills").glob("*/drill.yml"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A sound drill that a test may spoil."""
    return Path(shutil.copytree(SHIPPED / "kubelet-down", tmp_path / "kubelet-down"))


def problems(directory: Path) -> dict[str, str]:
    with pytest.raises(SpecError) as refused:
        load(directory, known_checks())
    return {one.where: one.what for one in refused.value.problems}


def spoil(directory: Path, old: str, new: str, file: str = "drill.yml") -> None:
    path = directory / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_json_schema_is_current(golden: Callable[[str, Path], None]) -> None:
    golden(json.dumps(json_schema(), indent=2) + "\n", ROOT / "docs" / "drill.schema.json")


def test_all_our_drills_are_sound() -> None:
    result = lint_drills([])
    assert result.problems == ()
    assert result.drills == len(OURS) > 0


@pytest.mark.parametrize("directory", OURS, ids=lambda path: path.name)
class TestOurDrill:
    def test_it_follows_the_schema(self, directory: Path) -> None:
        jsonschema.validate(YAML(typ="safe").load(directory / "drill.yml"), json_schema())

    def test_no_text_gives_the_solution_away_before_the_hints(self, directory: Path) -> None:
        drill = load(directory)
        last = drill.hints[-1].en
        assert last not in drill.task.en

    def test_both_languages_name_the_same_things_of_the_lab(self, directory: Path) -> None:
        drill = load(directory)
        for text in (drill.task, *drill.hints, drill.explain, *(goal.say for goal in drill.expect)):
            for name in ("{worker}", "{control_plane}", "{first_worker}"):
                assert (name in text.en) == (name in text.ko), text

    def test_it_says_which_goals_the_break_spoils(self, directory: Path) -> None:
        assert load(directory).broken_checks


def test_every_problem_is_named_at_once_with_file_and_line(copy: Path) -> None:
    spoil(copy, "level: 1", "level: 9")
    spoil(copy, "minutes: 10", "minuets: 10")
    spoil(copy, "check: kubelet.running", "check: kubelet running")
    spoil(copy, "name: Delete the pod by force", "nome: Delete the pod by force")
    spoil(copy, "until: kubelet_healthy", "until: kubelet_happy")
    found = problems(copy)
    assert found["kubelet-down/drill.yml:8 level"]
    assert found["kubelet-down/drill.yml:9 minuets"] == "unknown key"
    assert any("bad_fix.0.nome" in where for where in found)
    assert any("reset.1.until" in where for where in found)
    assert any("expect.0.check" in where for where in found)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("check: kubelet.running", "check: kubelet.runing", "has no check kubelet.runing"),
        ("check: drill.pod_gone", "check: pod.gone", "pod.gone is a check of labctl verify"),
        ("shell: kubectl -n drill get pod nginx --ignore-not-found -o name", "", "has neither `ready` nor `shell`"),
        ("check: control_plane.nodes_ready", "check: kubelet.running", "kubelet.running is a goal already"),
        (
            "- name: Start the kubelet\n    node: worker\n    ansible",
            "- node: worker\n    ansible",
            "the step needs a name",
        ),
        ("shell: kubectl -n drill delete pod nginx --wait=false", "use: undo", "`use` is for the steps of reset"),
        ("shell: kubectl -n drill delete pod nginx --wait=false", "no_log: true", "the step does nothing"),
        ("state: started}", "state: started}\n    shell: 'true'", "a step does one thing"),
        ("state: started}", "state: started}\n    ansible.builtin.file: {}", "a step names one module"),
        ("version: 2", "version: 1", "version 1 is not read any more"),
        ('ko: "kubelet이 멈춘 노드"', 'ko: "a silent node"', "has no Korean in it"),
        ("On {worker}: `systemctl status", "On {wroker}: `systemctl status", "is nothing of the lab"),
        ('expect: "^(False|Unknown)$"', 'expect: "^(False"', "is not a regular expression"),
        ('accept: ["Terminating"]', 'accept: ["Terminating"]\n      kubectl: "get pods"', "either kubectl or accept"),
        ("version: 2", "version: two", "should be a valid integer"),
        ("version: 2", "version: &a 2", ""),
        ("title:", "title: [", "not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused(copy: Path, old: str, new: str, words: str) -> None:
    spoil(copy, old, new)
    if not words:
        load(copy, known_checks())
        return
    assert any(words in what for what in problems(copy).values()), problems(copy)


def test_only_what_puts_things_back_may_be_missing(copy: Path) -> None:
    spoil(copy, "reset:\n  - {use: undo}\n  - {node: worker, until: kubelet_healthy}\n", "")
    (step,) = load(copy, known_checks()).reset_steps
    assert step.module == ("ansible.builtin.systemd_service", {"name": "kubelet", "state": "started"})
    text = (copy / "drill.yml").read_text(encoding="utf-8")
    (copy / "drill.yml").write_text(text.replace("solve:", "sulve:"), encoding="utf-8")
    assert sorted(problems(copy).values()) == ["is missing", "unknown key"]


def test_a_directory_without_a_drill_and_a_name_that_is_none_are_refused(tmp_path: Path, copy: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"no drill\.yml"):
        load(tmp_path / "empty")
    with pytest.raises(SpecError) as refused:
        load(copy.rename(tmp_path / "Kubelet Down"))
    assert any("the directory's name" in one.what for one in refused.value.problems)


def test_the_problems_of_all_drills_are_reported_together(tmp_path: Path) -> None:
    for source in (SHIPPED / "kubelet-down", SHIPPED / "wrong-selector"):
        spoil(Path(shutil.copytree(source, tmp_path / source.name)), "version: 2", "version: 3")
    found = load_all([tmp_path]).problems
    assert {one.where.split("/")[0] for one in found} == {"kubelet-down", "wrong-selector"}


def test_a_broken_file_does_not_hide_the_other_drills(tmp_path: Path) -> None:
    for source in (SHIPPED / "kubelet-down", SHIPPED / "wrong-selector"):
        shutil.copytree(source, tmp_path / source.name)
    (tmp_path / "kubelet-down" / "drill.yml").write_text("title: [")
    assert list(load_all([tmp_path]).drills) == ["wrong-selector"]
    assert load_one([tmp_path], "wrong-selector").slug == "wrong-selector"
    with pytest.raises(SpecError, match="the drill kubelet-down has a problem"):
        load_one([tmp_path], "kubelet-down")


def test_one_drill_is_found_without_reading_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = catalog.load
    monkeypatch.setattr(catalog, "load", lambda directory: read.append(directory.name) or original(directory))
    load_one([SHIPPED], "drain")
    assert read == ["drain"]


def test_an_unknown_drill_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(SpecError) as refused:
        load_one([SHIPPED], "kubelet-dwon")
    assert "kubelet-down" in refused.value.fix


def test_the_checks_of_verify_are_known_without_running_them() -> None:
    assert {"kubelet.running", "control_plane.nodes_ready", "kubelet.node_addresses", "control_plane.kube_scheduler",
            "control_plane.kube_scheduler_leads", "network.kube_proxy"} <= known_checks()  # fmt: skip


def test_every_message_exists_in_every_language() -> None:
    for key, texts in MESSAGES.items():
        assert len(texts) == len(LANGUAGES), key
        assert all(texts), key
        assert {part for part in ("{0}", "{1}", "{2}", "{3}") if part in texts[0]} == {
            part for part in ("{0}", "{1}", "{2}", "{3}") if part in texts[1]
        }, key


@pytest.mark.parametrize(
    ("given", "locale", "expected"),
    [("ko", "C", "ko"), (None, "ko_KR.UTF-8", "ko"), (None, "de_DE.UTF-8", "en"), ("en", "ko_KR.UTF-8", "en")],
)
def test_the_language_is_the_one_asked_for_else_that_of_the_locale(
    monkeypatch: pytest.MonkeyPatch, given: str | None, locale: str, expected: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert choose_language(given) == expected


def test_times_are_said_in_the_language() -> None:
    assert duration(75, "en") == "75 s"
    assert duration(200, "ko") == "3분 20초"
    assert Wording("ko").say("hint", 2) == "힌트 2/3"
