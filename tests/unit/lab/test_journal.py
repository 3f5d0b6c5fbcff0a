"""The journal of a lab: which run was killed, and in which phase."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import HostError, LockedError
from orchestrator.events import Event, Note, discard, phase
from orchestrator.lab import journal
from orchestrator.lab.lock import exclusive_lock
from orchestrator.paths import LabDir


@pytest.fixture
def directory(tmp_path: Path) -> LabDir:
    made = LabDir.beside(tmp_path / "lab.yml", "k8s-lab")
    made.create()
    return made


def killed(directory: LabDir) -> None:
    """Leave the journal as a run leaves it that was killed while it wrote."""
    with journal.recorded(directory, "provision", discard) as emit, phase(emit, "create", "Make 4 machines"):
        pass
    lines = directory.journal.read_text().splitlines()
    directory.journal.write_text("\n".join([*lines[:2], lines[2][:10]]))


def test_a_run_that_ended_is_not_unfinished(directory: LabDir) -> None:
    assert journal.unfinished(directory) is None
    with journal.recorded(directory, "provision", discard):
        pass
    with pytest.raises(HostError), journal.recorded(directory, "provision", discard):
        raise HostError("no disk left")
    assert journal.unfinished(directory) is None


def test_a_killed_run_is_named_with_its_phase_by_the_next_one(directory: LabDir) -> None:
    killed(directory)
    said: list[Event] = []
    with journal.recorded(directory, "scale", said.append):
        pass
    (note,) = [event for event in said if isinstance(event, Note)]
    assert "continuing `labctl provision`" in note.text
    assert "Make 4 machines" in note.text
    assert journal.unfinished(directory) is None


def test_a_line_that_was_left_half_spoils_no_later_one(directory: LabDir) -> None:
    killed(directory)
    with journal.recorded(directory, "provision", discard):
        pass
    assert json.loads(directory.journal.read_text().splitlines()[-1])["event"] == "RunEnded"


def test_the_note_of_a_killed_holder_is_not_taken_for_the_holder(directory: LabDir) -> None:
    with exclusive_lock(directory, "scale"):
        note = directory.lock.with_suffix(".holder")
        held = json.loads(note.read_text())
        note.write_text(json.dumps({**held, "pid": 2**22 + 1, "verb": "long gone"}))
        with pytest.raises(LockedError) as refused, exclusive_lock(directory, "halt"):
            pass
        assert "long gone" not in refused.value.message


def test_a_run_goes_on_only_while_its_process_holds_the_lock(directory: LabDir) -> None:
    killed(directory)
    run = journal.last_run(directory)
    assert run is not None
    assert run.result == "killed", "a process of that number lives, and does not hold the lab"
    with exclusive_lock(directory, "provision"), journal.recorded(directory, "provision", discard):
        run = journal.last_run(directory)
        assert run is not None
        assert run.result == "running"
