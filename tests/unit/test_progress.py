"""What a running verb says where there is no terminal."""

from __future__ import annotations

import io
import json

from orchestrator.cli.progress import JsonLines, PlainLines, showing
from orchestrator.events import Note, PhaseEnded, PhaseStarted, Step


def said(*events: object) -> list[str]:
    stream = io.StringIO()
    with showing(PlainLines(stream)) as emit:
        for event in events:
            emit(event)  # type: ignore[arg-type]
    return [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]


def test_a_phase_is_told_with_its_end_and_time() -> None:
    lines = said(PhaseStarted("create", title="Make 4 machines"), PhaseEnded("create", result="ok", seconds=3.21))
    assert lines == ["== Make 4 machines", "   ok, 3.2 s"]


def test_a_task_of_many_nodes_is_told_once() -> None:
    lines = said(
        *(Step("x", node, name="docker: Install", status="running") for node in ("m", "w1")),
        *(Step("x", node, name="docker: Install", status="changed") for node in ("m", "w1")),
    )
    assert lines == ["   docker: Install"]


def test_a_task_that_is_skipped_everywhere_is_not_told() -> None:
    lines = said(
        Step("x", "m", name="Stop when init failed", status="running"),
        Step("x", "m", name="Stop when init failed", status="skipped"),
        Note("x", text="on it goes"),
    )
    assert lines == ["   on it goes"]


def test_a_failure_names_node_task_and_cause() -> None:
    lines = said(Step("x", "w1", name="docker: Install", status="failed", detail="no space left"))
    assert lines == ["   FAILED w1 docker: Install: no space left"]


def test_json_lines_are_one_object_per_event() -> None:
    stream = io.StringIO()
    with showing(JsonLines(stream)) as emit:
        emit(PhaseStarted("create", title="Make"))
        emit(Step("create", "m", name="boot"))
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["event"] for one in objects] == ["PhaseStarted", "Step"]
    assert objects[1]["node"] == "m"
