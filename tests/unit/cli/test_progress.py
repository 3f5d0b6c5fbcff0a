"""What a running command prints without a terminal."""

from __future__ import annotations

import io
import json

from orchestrator.cli.progress import show_progress
from orchestrator.events import Note, PhaseEnded, PhaseStarted, Step


def printed(*events: object) -> list[str]:
    stream = io.StringIO()
    with show_progress("plain", stream) as emit:
        for event in events:
            emit(event)  # type: ignore[arg-type]
    return [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]


def test_a_phase_is_printed_with_its_result_and_time() -> None:
    lines = printed(PhaseStarted("create", title="Make 4 machines"), PhaseEnded("create", result="ok", seconds=3.21))
    assert lines == ["== Make 4 machines", "   ok, 3.2 s"]


def test_a_task_of_many_nodes_is_printed_once() -> None:
    lines = printed(
        *(Step("x", node, name="docker: Install", status="running") for node in ("m", "w1")),
        *(Step("x", node, name="docker: Install", status="changed") for node in ("m", "w1")),
    )
    assert lines == ["   docker: Install"]


def test_a_task_that_is_skipped_everywhere_is_not_printed() -> None:
    lines = printed(
        Step("x", "m", name="Stop when init failed", status="running"),
        Step("x", "m", name="Stop when init failed", status="skipped"),
        Note("x", text="continuing"),
    )
    assert lines == ["   continuing"]


def test_a_failure_names_node_task_and_cause() -> None:
    lines = printed(Step("x", "w1", name="docker: Install", status="failed", detail="no space left"))
    assert lines == ["   FAILED w1 docker: Install: no space left"]


def test_json_lines_are_one_object_per_event() -> None:
    stream = io.StringIO()
    with show_progress("jsonl", stream) as emit:
        emit(PhaseStarted("create", title="Make"))
        emit(Step("create", "m", name="boot"))
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["event"] for one in objects] == ["PhaseStarted", "Step"]
    assert objects[1]["node"] == "m"
