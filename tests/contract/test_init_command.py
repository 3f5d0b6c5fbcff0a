"""`labctl init` as somebody uses it at a terminal, and without one."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

from orchestrator import spec

ROOT = Path(__file__).resolve().parents[2]
LABCTL = str(ROOT / "labctl")


def answered(home: Path, answers: list[str], *options: str) -> tuple[int, str]:
    """Exit code and terminal of `labctl init` whose user types these answers."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([LABCTL, "init", *options], cwd=home, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        said = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            said += piece
    os.close(ours)
    return running.returncode, said.decode()


def test_five_answers_make_a_lab_yml(tmp_path: Path) -> None:
    code, said = answered(tmp_path, ["teaching", "2", "1.37", "container", "class"])
    assert code == 0, said
    assert "wrote lab.yml" in said
    lab = spec.load(tmp_path / "lab.yml").lab
    assert (lab.profile, lab.workers.count, lab.kubernetes.version) == ("teaching", 2, "1.37")
    assert (lab.provider, lab.name) == ("container", "class")


def test_what_an_option_says_is_not_asked(tmp_path: Path) -> None:
    code, said = answered(tmp_path, ["", ""], "--profile", "bare", "--workers", "0", "--name", "mine")
    assert code == 0, said
    assert "How many workers" not in said
    assert spec.load(tmp_path / "lab.yml").explicit >= {"profile", "workers.count", "name"}


def test_an_existing_file_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("version: 1\n", encoding="utf-8")
    code, said = answered(tmp_path, [])
    assert code == 2
    assert "exists and is left alone" in said
    assert "What kind of lab" not in said
    assert (tmp_path / "lab.yml").read_text(encoding="utf-8") == "version: 1\n"


def test_without_a_terminal_it_says_how_to_do_without_questions(tmp_path: Path) -> None:
    done = subprocess.run([LABCTL, "init"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert not (tmp_path / "lab.yml").exists()
