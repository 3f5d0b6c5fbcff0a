"""`labctl init` as somebody uses it at a terminal, and without one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator import spec
from tests.terminal import answered

ROOT = Path(__file__).resolve().parents[2]
LABCTL = str(ROOT / "labctl")


def init(home: Path, answers: list[str], *options: str) -> tuple[int, str]:
    """Exit code and terminal of `labctl init` whose user types these answers."""
    return answered([LABCTL, "init", *options], home, answers)


def test_five_answers_make_a_lab_yml(tmp_path: Path) -> None:
    code, said = init(tmp_path, ["teaching", "2", "1.37", "container", "class"])
    assert code == 0, said
    assert "wrote lab.yml" in said
    lab = spec.load(tmp_path / "lab.yml").lab
    assert (lab.profile, lab.workers.count, lab.kubernetes.version) == ("teaching", 2, "1.37")
    assert (lab.provider, lab.name) == ("container", "class")


def test_what_an_option_says_is_not_asked(tmp_path: Path) -> None:
    code, said = init(tmp_path, ["", ""], "--profile", "bare", "--workers", "0", "--name", "mine")
    assert code == 0, said
    assert "How many workers" not in said
    assert spec.load(tmp_path / "lab.yml").explicit >= {"profile", "workers.count", "name"}


def test_an_existing_file_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("version: 1\n", encoding="utf-8")
    code, said = init(tmp_path, [])
    assert code == 2
    assert "exists and is left alone" in said
    assert "What kind of lab" not in said
    assert (tmp_path / "lab.yml").read_text(encoding="utf-8") == "version: 1\n"


def test_without_a_terminal_it_says_how_to_do_without_questions(tmp_path: Path) -> None:
    done = subprocess.run([LABCTL, "init"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert not (tmp_path / "lab.yml").exists()


def test_a_question_that_nobody_answers_is_aborted_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    code, said = init(tmp_path, [], "--profile", "bare")
    assert (code, "How many workers" in said) == (130, True)
    assert time.monotonic() - began < 30


def test_a_command_that_hangs_at_a_terminal_fails_at_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"still running at the deadline.*\n.*busy"):
        answered([sys.executable, "-c", "import time; print('busy'); time.sleep(60)"], tmp_path, [], seconds=5)
