"""A run drawn over time."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestrator.events import Event, PhaseEnded, PhaseStarted, Step, discard
from orchestrator.timeline import PHASES, Bar, bars, chain, drawn, svg


def run() -> list[Event]:
    """Two nodes install at once, the slower one is waited for, then one goes on."""
    return [
        PhaseStarted(phase="converge", at=100.0),
        Step(phase="converge", node="a", name="install", status="running", at=100.0),
        Step(phase="converge", node="b", name="install", status="running", at=100.0),
        Step(phase="converge", node="a", name="install", status="changed", at=101.0),
        Step(phase="converge", node="b", name="install", status="changed", at=104.0),
        Step(phase="converge", node="a", name="init", status="running", at=104.1),
        Step(phase="converge", node="b", name="no matter", status="running", at=104.1),
        Step(phase="converge", node="b", name="no matter", status="skipped", at=104.11),
        Step(phase="converge", node="a", name="init", status="ok", at=110.0),
        Step(phase="converge", node="a", name="never ended", status="running", at=110.0),
        PhaseEnded(phase="converge", at=110.5),
    ]


def test_every_step_that_took_time_is_a_bar_on_its_nodes_lane() -> None:
    found = [(bar.lane, bar.name, round(bar.start, 1), round(bar.end, 1)) for bar in bars(run())]
    assert found == [
        ("a", "install", 0.0, 1.0),
        ("b", "install", 0.0, 4.0),
        ("a", "init", 4.1, 10.0),
        (PHASES, "converge", 0.0, 10.5),
    ]


def test_the_chain_goes_through_the_step_that_was_waited_for() -> None:
    assert [(bar.lane, bar.name) for bar in chain(bars(run()))] == [("a", "init"), ("b", "install")]


def test_the_drawing_is_well_formed_and_escapes_names() -> None:
    root = ElementTree.fromstring(svg([Bar("a", "write <file> & go", 0.0, 2.0)]))
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "write <file> & go: 2.0 s, from 0.0" in titles


def test_a_run_that_fails_is_drawn_too(tmp_path: Path) -> None:
    file = tmp_path / "run.svg"

    def fail() -> None:
        with drawn(discard, file) as emit:
            for event in run():
                emit(event)
            raise RuntimeError("the middle of it")

    with pytest.raises(RuntimeError):
        fail()
    assert 'class="chain"' in file.read_text(encoding="utf-8")
