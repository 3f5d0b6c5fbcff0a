"""Progress, grading and the class report: pure, and as large after a thousand drills as after one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog, proc
from orchestrator.drills.catalog import filled, reason_impossible, untested_on
from orchestrator.drills.grading import contains, evaluate, goal_results, goal_script, same_answer
from orchestrator.drills.load import load
from orchestrator.drills.progress import RESULTS_SCHEMA, Progress
from orchestrator.drills.report import render_html
from orchestrator.drills.schema import Text
from orchestrator.errors import SpecError
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.plan import plan as decide
from orchestrator.spec import parse
from orchestrator.verbs.drill.progress import DrillStatus

DRILLS = Path(__file__).resolve().parents[3] / "drills"


def opened(slug: str = "kubelet-down", at: float = 100) -> Progress:
    return Progress().begin(slug, "/drills", at).opened(at)


def test_a_solved_drill_counts_with_its_time_and_hints() -> None:
    done = opened(at=100).hinted().checked(False, 150, "student").checked(True, 190, "student")
    record = done.records["kubelet-down"]
    assert (record.attempts, record.solved, record.checks, record.seconds, record.hints) == (1, 1, 2, 90, 1)
    assert done.required().phase == "solved"
    assert done.required().by == "student"


def test_the_best_time_is_kept_and_a_later_check_changes_nothing() -> None:
    done = opened(at=0).checked(True, 50, "student").checked(True, 900, "student").closed()
    again = done.begin("kubelet-down", "/drills", 1000).opened(1000).checked(True, 1200, "student")
    assert again.records["kubelet-down"].seconds == 50
    assert again.records["kubelet-down"].solved == 2


def test_whoever_asked_for_the_solution_has_not_solved_it_himself() -> None:
    shown = opened().working("solving").checked(False, 120, "labctl").checked(True, 130, "student")
    assert shown.required().by == "labctl"
    assert shown.records["kubelet-down"].solved == 0
    assert shown.records["kubelet-down"].shown == 1


def test_only_one_drill_is_open_at_a_time() -> None:
    for state in (opened(), opened().checked(True, 120, "student"), opened().working("resetting")):
        with pytest.raises(SpecError) as refused:
            state.begin("drain", "/drills", 130)
        assert "kubelet-down" in refused.value.message
        assert "drill reset" in refused.value.fix
    with pytest.raises(SpecError):
        opened().begin("kubelet-down", "/drills", 130)


def test_an_interrupted_start_is_continued_and_counts_once() -> None:
    cut = Progress().begin("kubelet-down", "/drills", 100)
    assert cut.required().interrupted
    assert cut.begin("kubelet-down", "/drills", 110).records["kubelet-down"].attempts == 1
    with pytest.raises(SpecError):
        cut.begin("drain", "/drills", 110)


def test_without_an_open_drill_there_is_nothing_to_do() -> None:
    for step in (Progress().hinted, Progress().required, lambda: Progress().working("solving")):
        with pytest.raises(SpecError, match="no drill is open"):
            step()


def test_progress_survives_being_written_and_read() -> None:
    state = opened().hinted().answered(2).answered(2)
    assert Progress.from_json(state.as_json()) == state
    for broken in ("", "{}", "[]", '{"schema": "labctl/drill-state/v1", "records": 3}'):
        with pytest.raises(ValueError):
            Progress.from_json(broken)


def test_progress_does_not_grow_with_the_number_of_attempts() -> None:
    state = Progress()
    sizes = []
    for turn in range(50):
        state = (
            state.begin("drain", "/drills", turn * 10)
            .opened(turn * 10)
            .checked(True, turn * 10 + 5, "student")
            .closed()
        )
        sizes.append(len(state.as_json()))
    assert max(sizes) - sizes[0] < 20


def english(text: Text) -> str:
    return text.en


def test_a_goal_needs_a_verdict_everywhere_it_applies() -> None:
    drill = load(DRILLS / "kubelet-down")
    good = [
        ("kubelet.running", "m-k8s", "ok", ""),
        ("kubelet.running", "w1-k8s", "ok", ""),
        ("control_plane.nodes_ready", "", "ok", ""),
        ("drill.pod_gone", "", "ok", ""),
    ]
    assert all(one.reached for one in evaluate(drill, good, english))
    for status in ("failed", "error", "warning", "not_run"):
        spoiled = [good[0], ("kubelet.running", "w1-k8s", status, "why"), *good[2:]]
        first = evaluate(drill, spoiled, english)[0]
        assert not first.reached
        assert first.evidence == ("w1-k8s: why",)
    assert not evaluate(drill, good[2:], english)[0].reached, "a check that did not run is no pass"
    assert not evaluate(drill, [("kubelet.running", "m-k8s", "not_applicable", ""), *good[2:]], english)[0].reached


def answer(slug: str, *lines: str) -> list[str]:
    """The statuses of a drill's own goals when their script printed these lines."""
    goals = [goal for goal in load(DRILLS / slug).expect if goal.is_own]
    return [status for _, _, status, _ in goal_results(goals, {"worker": "w2-k8s"}, "m-k8s", "\n".join(lines))]


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_declared_goal_is_reached_when_its_command_succeeds_with_the_expected_answer() -> None:
    assert answer("bridge-filter-off", f"0 0 {packed('web')}", f"1 0 {packed('w2-k8s w2-k8s')}") == ["ok", "ok"]
    assert answer("bridge-filter-off", f"0 7 {packed('web')}", f"1 0 {packed('w2-k8s w1-k8s')}") == ["failed", "failed"]
    assert answer("kubelet-down", "0 0 ") == ["ok"]
    assert answer("crash-loop", "0 0 ") == ["failed"]
    assert answer("crash-loop") == [], "a command without a line has no verdict"


def test_the_evidence_of_a_declared_goal_is_what_was_seen_and_expected() -> None:
    goals = load(DRILLS / "crash-loop").expect
    (result,) = goal_results(goals, {}, "m-k8s", f"0 0 {packed('3')}")
    assert result == ("drill.ready", "m-k8s", "failed", "3 (expected: ^1$)")


def test_the_script_of_goals_prints_a_line_for_each_whatever_became_of_the_others() -> None:
    first, second = load(DRILLS / "impossible-requests").expect
    goals = [first.model_copy(update={"ready": {}, "shell": "echo no >&2; exit 3"}),
             second.model_copy(update={"shell": "echo 100m", "answer": "^100m$"})]  # fmt: skip
    printed = proc.run(["bash", "-c", goal_script(goals, {})]).stdout
    assert printed.splitlines() == [f"0 3 {packed('no')}", f"1 0 {packed('100m')}"]


def test_answers_are_compared_as_people_type_them() -> None:
    assert same_answer(" W2-K8S ", "w2-k8s")
    assert not same_answer("w1-k8s", "w2-k8s")
    assert contains("it is terminating", ["Terminating"])
    assert not contains("Running", ["Terminating"])


@pytest.fixture
def plan(observe: Callable[..., Observed]) -> Callable[[str], Plan]:
    return lambda text: decide(parse(text), catalog.load(), observe())


def test_a_drill_says_why_a_lab_does_not_allow_it(plan: Callable[[str], Plan]) -> None:
    drain = load(DRILLS / "drain")
    assert reason_impossible(drain, plan("workers: {count: 2}\n")) == ""
    assert "needs 2 workers, the lab has 1" in reason_impossible(drain, plan("workers: {count: 1}\n"))
    assert "no Kubernetes" in reason_impossible(drain, plan("profile: bare\n"))


def test_a_drill_says_on_which_labs_it_was_not_tested(plan: Callable[[str], Plan]) -> None:
    drain, stopped = load(DRILLS / "drain"), load(DRILLS / "cgroup-driver")
    assert (untested_on(drain, plan("")), untested_on(drain, plan("profile: book\n"))) == ("", "")
    assert untested_on(stopped, plan("")) == "not tested on a modern lab yet: only on book"
    nobody = drain.model_copy(update={"tested": ()})
    assert untested_on(nobody, plan("profile: teaching\n")) == "not tested on a teaching lab yet"


def test_texts_say_how_long_the_lab_waits_for_a_silent_node(plan: Callable[[str], Plan]) -> None:
    assert filled("after {grace_period} s", plan("profile: teaching\n")) == "after 16 s"
    assert filled("after {grace_period} s", plan("")) == "after 40 s"


def test_texts_carry_the_names_of_the_lab_and_keep_other_braces(plan: Callable[[str], Plan]) -> None:
    lab = plan("workers: {count: 2}\nnames: {worker: 'node{i}'}\n")
    assert filled("{worker} {first_worker} {.items[*].a}", lab) == "node2 node1 {.items[*].a}"


def results(student: str, progress: Progress) -> dict[str, Any]:
    """The document of a student's results, as `drill status` writes it."""
    body = asdict(DrillStatus(student, "lab", progress.records, progress.current))
    document: dict[str, Any] = json.loads(json.dumps({"schema": RESULTS_SCHEMA, **body}))
    return document


def test_the_class_report_shows_students_and_escapes_their_names() -> None:
    solved = opened().checked(True, 190, "student")
    shown = opened("drain").working("solving").checked(True, 190, "labctl")
    page = render_html([results("Lee", shown), results("<b>Kim</b>", solved)], {"drain": "노드 비우기"}, "ko")
    assert "<b>Kim" not in page
    assert "&lt;b&gt;Kim" in page
    assert page.index("Kim") < page.index("Lee"), "who solved more stands first"
    assert "90초" in page
    assert "풀이를 봄" in page
    assert "노드 비우기" in page
