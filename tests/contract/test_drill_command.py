"""What `labctl drill` promises without a lab: clear messages, exit codes, both languages, nothing made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.drills.progress import Progress
from tests.contract.test_cli import ROOT, labctl

SHIPPED = ROOT / "drills"


def test_the_list_needs_no_lab_and_speaks_both_languages(tmp_path: Path) -> None:
    english = labctl("drill", "list", "--lang", "en", cwd=tmp_path)
    korean = labctl("drill", "list", "--lang", "ko", cwd=tmp_path)
    assert english.returncode == korean.returncode == 0, english.stderr
    assert "kubelet-down" in english.stdout
    assert "there is no lab here yet" in english.stdout
    assert "kubelet이 멈춘 노드" in korean.stdout
    assert not (tmp_path / ".labctl").exists()


def test_the_list_is_one_document(tmp_path: Path) -> None:
    document = json.loads(labctl("drill", "list", "--output", "json", cwd=tmp_path).stdout)
    assert document["schema"] == "labctl/drills/v1"
    assert {"name", "state", "why", "title", "level", "minutes"} <= set(document["drills"][0])


def test_the_table_of_contents_is_in_the_order_of_the_book(tmp_path: Path) -> None:
    document = json.loads(labctl("drill", "list", "--book", "--untested", "--output", "json", cwd=tmp_path).stdout)
    sections = [tuple(map(int, one["book"][0].split("."))) for one in document["drills"]]
    assert sections == sorted(sections)
    assert {section for one in document["drills"] for section in one["book"]} == {
        "3.1.6", *(f"3.2.{number}" for number in range(1, 11))
    }  # fmt: skip
    shown = labctl("drill", "list", "--book", "--lang", "ko", cwd=tmp_path).stdout.splitlines()
    assert shown[0].startswith("3.1.6 ")
    assert "kubectl-anywhere" in shown[0]
    assert any(line.startswith("3.2.4, 3.2.5  apply-not-create") for line in shown)


def test_a_section_of_the_book_has_its_own_exercises_and_those_below_it(tmp_path: Path) -> None:
    def names(section: str) -> list[str]:
        done = labctl("drill", "list", f"--book={section}", "--output", "json", cwd=tmp_path)
        return [one["name"] for one in json.loads(done.stdout)["drills"]]

    assert names("3.1.6") == ["kubectl-anywhere", "kubelet-down", "bridge-filter-off"]
    assert names("3.2.5") == ["apply-not-create"]
    assert names("3.1") == names("3.1.6")


@pytest.mark.parametrize("section", ["3.9.9", "4", "drain", "3.2.1.1"])
def test_an_unknown_section_of_the_book_is_answered_with_those_that_have_exercises(
    tmp_path: Path, section: str
) -> None:
    done = labctl("drill", "list", f"--book={section}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"no drill is an exercise of the book's section {section}" in done.stderr
    assert "labctl drill list --book" in done.stderr
    assert "3.1.6, 3.2.1" in done.stderr


def test_a_section_with_one_exercise_names_a_drill_and_others_are_refused(tmp_path: Path) -> None:
    planned(tmp_path)
    assert labctl("drill", "start", "3.2.8", "--dry-run", cwd=tmp_path).returncode == 0
    several = labctl("drill", "start", "3.1.6", "--dry-run", cwd=tmp_path)
    assert several.returncode == 2
    assert "has 3 exercises: kubectl-anywhere, kubelet-down, bridge-filter-off" in several.stderr
    assert "fix: labctl drill start kubectl-anywhere" in several.stderr
    unknown = labctl("drill", "start", "9.9", "--dry-run", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "section 9.9" in unknown.stderr


@pytest.mark.parametrize(
    "words",
    [("start", "kubelet-down"), ("hint",), ("check",), ("solve",), ("reset",), ("status",), ("observe",),
     ("report", "--html", "x.html")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_without_a_lab_every_verb_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = labctl("drill", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no lab" in done.stderr
    assert "fix: labctl provision" in done.stderr
    assert list(tmp_path.iterdir()) == []


def planned(tmp_path: Path, text: str = "name: quiet\nprovider: container\n") -> Path:
    """The state directory of a lab that was decided but whose machines are not there."""
    from orchestrator import catalog
    from orchestrator.model import Plan
    from orchestrator.observed import BuildableBundle, Observed, ProviderState, SourceContent
    from orchestrator.plan import plan
    from orchestrator.spec import parse

    host = Observed(
        uuid="00000000-0000-4000-8000-00000000d111", owner=str(tmp_path), cpus=4, memory=16000, disk_free=60000,
        disk_path="/", kernel="6.1.0", cgroup="v1", providers=(ProviderState("container", ready=True),),
        buildable=(BuildableBundle(SourceContent("debian-1.20.2", "1.20.2"), "debian", possible=True, disk=9000),),
    )  # fmt: skip
    decided: Plan = plan(parse(text), catalog.load(), host)
    directory = tmp_path / ".labctl" / decided.name
    directory.mkdir(parents=True, mode=0o700)
    (directory / "plan.json").write_text(decided.as_json())
    return directory


def test_an_unknown_drill_is_answered_with_the_nearest_names(tmp_path: Path) -> None:
    planned(tmp_path)
    done = labctl("drill", "start", "kubelet-dwon", cwd=tmp_path)
    assert done.returncode == 2
    assert "kubelet-down" in done.stderr


def test_a_drill_that_this_lab_does_not_allow_is_refused_with_the_reason(tmp_path: Path) -> None:
    planned(tmp_path, "name: quiet\nprovider: container\nworkers: {count: 1}\n")
    done = labctl("drill", "start", "drain", cwd=tmp_path)
    assert done.returncode == 2
    assert "needs 2 workers, the lab has 1" in done.stderr
    assert "fix: labctl scale --workers 2" in done.stderr
    listed = json.loads(labctl("drill", "list", "--output", "json", cwd=tmp_path).stdout)["drills"]
    drain = next(one for one in listed if one["name"] == "drain")
    assert drain["state"] == "impossible"


def test_a_second_start_is_refused_while_one_is_open(tmp_path: Path) -> None:
    directory = planned(tmp_path)
    state = Progress().begin("drain", str(SHIPPED / "drain"), 100.0).opened(100.0).hinted()
    (directory / "drills.json").write_text(state.as_json())
    done = labctl("drill", "start", "kubelet-down", cwd=tmp_path)
    assert done.returncode == 2
    assert "the drill drain is open" in done.stderr
    assert "labctl drill reset" in done.stderr
    assert Progress.from_json((directory / "drills.json").read_text()) == state


def test_a_start_says_first_what_it_would_do(tmp_path: Path) -> None:
    directory = planned(tmp_path)
    done = labctl("drill", "start", "drain", "--dry-run", "--output", "json", cwd=tmp_path)
    assert json.loads(done.stdout)["would"][0] == "verify that the lab is healthy"
    assert [path.name for path in directory.iterdir()] == ["plan.json"]


def test_hints_are_shown_one_by_one_and_kept_private(tmp_path: Path) -> None:
    directory = planned(tmp_path)
    state = Progress().begin("drain", str(SHIPPED / "drain"), 100.0).opened(100.0)
    (directory / "drills.json").write_text(state.as_json())
    counts = []
    for _ in range(4):
        done = labctl("drill", "hint", "--lang", "ko", "--output", "json", cwd=tmp_path)
        counts.append(len(json.loads(done.stdout)["hints"]))
    assert counts == [1, 2, 3, 3]
    assert "w3-k8s" in json.loads(done.stdout)["hints"][2]
    assert (directory / "drills.json").stat().st_mode & 0o777 == 0o600
    status = json.loads(labctl("drill", "status", "--output", "json", "--student", "Kim", cwd=tmp_path).stdout)
    assert status["schema"] == "labctl/drill-results/v1"
    assert status["open"]["hints"] == 3
    assert status["student"] == "Kim"


@pytest.mark.parametrize("answer", ["w1-k8s", "x=y", "9=w1-k8s", "1="])
def test_answers_that_make_no_sense_are_refused(tmp_path: Path, answer: str) -> None:
    directory = planned(tmp_path)
    state = Progress().begin("drain", str(SHIPPED / "drain"), 100.0).opened(100.0)
    (directory / "drills.json").write_text(state.as_json())
    done = labctl("drill", "observe", "--answer", answer, cwd=tmp_path)
    assert done.returncode == 2
    assert "fix:" in done.stderr


def test_an_answer_of_words_is_compared(tmp_path: Path) -> None:
    directory = planned(tmp_path)
    state = Progress().begin("drain", str(SHIPPED / "drain"), 100.0).opened(100.0)
    (directory / "drills.json").write_text(state.as_json())
    wrong = json.loads(labctl("drill", "observe", "--answer", "1=Pod", "--output", "json", cwd=tmp_path).stdout)
    right = json.loads(labctl("drill", "observe", "--answer", "1=daemonset", "--output", "json", cwd=tmp_path).stdout)
    assert wrong["questions"][0]["right"] is False
    assert right["questions"][0]["right"] is True


def test_damaged_progress_is_named_with_its_file(tmp_path: Path) -> None:
    directory = planned(tmp_path)
    (directory / "drills.json").write_text("{")
    done = labctl("drill", "status", cwd=tmp_path)
    assert done.returncode == 2
    assert "drills.json is damaged" in done.stderr


def test_the_linter_names_file_and_line_and_fails(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(SHIPPED / "drain", tmp_path / "mine" / "drain"))
    good = labctl("drill", "lint", "mine", cwd=tmp_path)
    assert good.returncode == 0, good.stdout
    text = (copy / "drill.yml").read_text(encoding="utf-8")
    (copy / "drill.yml").write_text(text.replace("level: 2", "level: two"), encoding="utf-8")
    bad = labctl("drill", "lint", "mine", cwd=tmp_path)
    assert bad.returncode == 2
    assert "drain/drill.yml:" in bad.stdout
    assert "level" in bad.stdout
    assert labctl("drill", "lint", "nowhere", cwd=tmp_path).returncode == 2


def test_a_broken_drill_is_listed_as_such_and_only_it_is_refused(tmp_path: Path) -> None:
    planned(tmp_path)
    for name in ("drain", "quota"):
        shutil.copytree(SHIPPED / name, tmp_path / "mine" / f"my-{name}")
    (tmp_path / "mine" / "my-drain" / "drill.yml").write_text("title: [")
    listed = labctl("drill", "list", "--path", "mine", "--output", "json", cwd=tmp_path)
    document = json.loads(listed.stdout)
    assert listed.returncode == 0
    assert {"my-quota", "drain"} <= {one["name"] for one in document["drills"]}
    assert [one["where"] for one in document["problems"]] == ["my-drain/drill.yml"]
    assert "labctl drill lint" in labctl("drill", "list", "--path", "mine", "--lang", "en", cwd=tmp_path).stdout
    refused = labctl("drill", "start", "my-drain", "--path", "mine", cwd=tmp_path)
    assert refused.returncode == 2
    assert "the drill my-drain has a problem" in refused.stderr
    assert labctl("drill", "start", "my-quota", "--path", "mine", "--dry-run", cwd=tmp_path).returncode == 0


def test_the_report_of_a_class_is_made_of_exported_results(tmp_path: Path) -> None:
    for name in ("Kim", "Lee"):
        done = Progress().begin("drain", "/", 100.0).opened(100.0).checked(True, 160.0, "student")
        records = {slug: vars(record) for slug, record in done.records.items()}
        results = {"schema": "labctl/drill-results/v1", "student": name, "lab": "lab", "drills": records}
        (tmp_path / f"{name}.json").write_text(json.dumps(results))
    made = labctl("drill", "report", "--html", "class.html", "Kim.json", "Lee.json", "--lang", "en", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    page = (tmp_path / "class.html").read_text(encoding="utf-8")
    assert "Kim" in page
    assert "60 s" in page
    (tmp_path / "strange.json").write_text("{}")
    refused = labctl("drill", "report", "--html", "x.html", "Kim.json", "strange.json", cwd=tmp_path)
    assert refused.returncode == 2
    assert "strange.json" in refused.stderr
    assert not (tmp_path / "x.html").exists()


# Stands for the lab's own kubectl: its one node lacks a pod network and nothing else.
LACKS = "runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni config uninitialized"
STATED = {"type": "Ready", "status": "False", "message": LACKS}
NODES = json.dumps({"items": [{"metadata": {"name": "m-k8s"}, "status": {"conditions": [STATED]}}]})


def without_network(tmp_path: Path) -> Path:
    directory = planned(tmp_path, "name: quiet\nprovider: container\nkubernetes: {cni: none}\n")
    (directory / "kubeconfig").write_text("")
    (directory / "bin").mkdir()
    (directory / "bin" / "kubectl").write_text(f"#!/bin/sh\necho '{NODES}'\n")
    (directory / "bin" / "kubectl").chmod(0o755)
    return directory


def test_a_drill_that_needs_pods_is_refused_while_no_pod_network_is_installed(tmp_path: Path) -> None:
    without_network(tmp_path)
    done = labctl("drill", "start", "drain", cwd=tmp_path)
    assert done.returncode == 2
    assert "drain needs pods that run: no pod network is installed yet (kubernetes.cni: none)" in done.stderr
    assert "fix: labctl kubectl -- apply -f MANIFEST" in done.stderr


def test_a_drill_that_needs_no_pods_is_possible_without_a_pod_network(tmp_path: Path) -> None:
    without_network(tmp_path)
    done = labctl("drill", "start", "kubectl-anywhere", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_drill_that_needs_the_bridge_network_is_not_for_a_lab_without_it(tmp_path: Path) -> None:
    without_network(tmp_path)
    done = labctl("drill", "start", "route-lost", cwd=tmp_path)
    assert "needs the pod network bridge_cni, the lab has none" in done.stderr
