"""Where the tutorial goes on, and what it says, in both languages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import catalog, spec
from orchestrator.cli.main import invoke
from orchestrator.drills.progress import Progress
from orchestrator.drills.schema import LANGUAGES
from orchestrator.errors import SpecError
from orchestrator.lab.drill_progress import save_progress
from orchestrator.lab.pending import begin_operation
from orchestrator.lab.state import open_lab
from orchestrator.observed import Observed
from orchestrator.paths import LabDir
from orchestrator.plan import plan as make_plan
from orchestrator.verbs import tutorial as verb
from orchestrator.verbs.tutorial import DRILL, tutorial
from tests.terminal import answered

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LABCTL_LAB_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_lab(folder: Path, observe: Callable[..., Observed], profile: str = "modern") -> LabDir:
    file = folder / "lab.yml"
    file.write_text(f"provider: container\nprofile: {profile}\nworkers: {{count: 2}}\n", encoding="utf-8")
    plan = make_plan(spec.load(file), catalog.load(), observe(owner=str(folder)), "render")
    directory = LabDir(folder / ".labctl" / plan.name)
    directory.reports.mkdir(parents=True)
    directory.plan.write_text(plan.as_json(), encoding="utf-8")
    return directory


@pytest.fixture
def lab(folder: Path, observe: Callable[..., Observed]) -> LabDir:
    """A lab on disk that was verified."""
    directory = make_lab(folder, observe)
    (directory.reports / "last.json").write_text('{"at": 1000.0, "ok": true, "failed": []}', encoding="utf-8")
    return directory


def first() -> str:
    found = tutorial("en", yes=False)
    return found.steps[found.first].name


def save(progress: Progress) -> None:
    save_progress(open_lab(None), progress)


BEGUN = Progress().begin(DRILL, "d", 1.0)


def test_without_a_lab_it_begins_with_the_plan() -> None:
    assert first() == "plan"


def test_a_lab_that_was_never_verified_is_provisioned_first(folder: Path, observe: Callable[..., Observed]) -> None:
    make_lab(folder, observe)
    assert first() == "provision"


def test_a_lab_whose_change_was_interrupted_is_provisioned_first(lab: LabDir) -> None:
    begin_operation(lab, "scale", "labctl scale --workers 2")
    assert first() == "provision"


@pytest.mark.parametrize(
    ("progress", "step"),
    [
        (Progress(), "status"),
        (BEGUN, "start"),
        (BEGUN.opened(2.0), "look"),
        (BEGUN.opened(2.0).hinted(), "find"),
        (BEGUN.opened(2.0).checked(False, 3.0, "student"), "look"),
        (BEGUN.opened(2.0).checked(True, 3.0, "student"), "reset"),
        (Progress(None, BEGUN.opened(2.0).checked(True, 3.0, "student").records), "end"),
        (Progress(None, BEGUN.opened(2.0).records), "status"),
    ],
)
def test_it_goes_on_where_the_drill_stands(lab: LabDir, progress: Progress, step: str) -> None:
    save(progress)
    assert first() == step


def test_another_drill_that_is_open_is_ended_first(lab: LabDir) -> None:
    save(Progress().begin("run-or-create", "d", 1.0))
    with pytest.raises(SpecError, match="run-or-create is open") as refused:
        first()
    assert "labctl drill reset" in refused.value.fix


def test_a_lab_without_kubernetes_is_refused(folder: Path, observe: Callable[..., Observed]) -> None:
    make_lab(folder, observe, "bare")
    with pytest.raises(SpecError, match="takes a lab with Kubernetes, k8s-lab has none"):
        first()


def test_a_damaged_plan_is_named_and_not_taken_for_no_lab(lab: LabDir) -> None:
    lab.plan.write_text("{", encoding="utf-8")
    with pytest.raises(SpecError, match="is damaged"):
        first()


def test_its_commands_name_the_labs_own_worker_and_the_language(lab: LabDir) -> None:
    commands = [command for step in tutorial("ko", yes=True).steps for command in step.commands]
    assert "ssh w2-k8s -- sudo systemctl start kubelet" in commands
    assert "drill check --lang ko" in commands
    assert "provision --yes" in commands


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_terminal_every_step_is_printed_and_none_is_run(
    language: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "run", lambda command: pytest.fail(f"{command} was run"))
    assert invoke(["tutorial", "--lang", language]) == 0
    said = capsys.readouterr().out
    for step in tutorial(language, yes=False).steps:
        assert all(f"labctl {command}" in said for command in step.commands)
    assert verb.say("printed", language) in said
    assert ("실습 환경" in said) == (language == "ko")


def test_json_has_every_step_and_where_to_go_on(lab: LabDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["tutorial", "--output", "json", "--yes", "--lang", "en"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["first"]) == ("labctl/tutorial/v1", 2)


def test_yes_runs_each_step_until_one_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(command: str) -> int:
        ran.append(command)
        return 3 if command.startswith("provision") else 0

    monkeypatch.setattr(verb, "run", run)
    assert invoke(["tutorial", "--yes", "--lang", "en"]) == 3
    assert ran == ["plan", "provision --yes"]
    assert "`labctl provision --yes` ended with 3" in capsys.readouterr().err


def test_at_a_terminal_q_ends_it_and_says_how_to_go_on(lab: LabDir, folder: Path) -> None:
    argv = [sys.executable, "-m", "orchestrator.cli", "tutorial", "--lang", "en"]
    code, said = answered(argv, folder, ["q"])
    assert code == 0
    assert "Going on where this lab is: step 3 of 12." in said
    assert "Go on later: labctl tutorial" in said


def test_at_a_terminal_enter_runs_the_command(folder: Path) -> None:
    (folder / "lab.yml").write_text("profile: nonsense\n", encoding="utf-8")
    argv = [sys.executable, "-m", "orchestrator.cli", "tutorial", "--lang", "ko"]
    code, said = answered(argv, folder, [""])
    assert code == 2
    assert "nonsense" in said
    assert "`labctl plan` 명령이 2(으)로 종료되었습니다" in said
