"""Twenty commands at once on one lab: one works, nineteen are told who does, at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.paths import LabDir

pytestmark = pytest.mark.real

COMMANDS = 20
# What the refusal itself may take; starting Python is not part of it.
REFUSAL_SECONDS = 0.3

# Says when it is ready, goes when told, and reports what it got and how long that took.
CONTENDER = """
import json, sys, time
from pathlib import Path
from orchestrator.errors import LockedError
from orchestrator.paths import LabDir
from orchestrator.lab.lock import exclusive_lock
import filelock

print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
try:
    with exclusive_lock(LabDir(Path(sys.argv[1])), "provision"):
        print(json.dumps({"won": True}), flush=True)
        sys.stdin.readline()
except LockedError as refused:
    print(json.dumps({"won": False, "message": refused.message, "seconds": time.monotonic() - began}), flush=True)
"""


def test_one_of_twenty_wins_and_the_others_learn_who_holds_the_lock(tmp_path: Path) -> None:
    directory = LabDir.beside(tmp_path / "lab.yml", "k8s-lab")
    directory.create()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(directory.root)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        for _ in range(COMMANDS)
    ]
    try:
        pipes = [(process.stdin, process.stdout) for process in running]
        for _, out in pipes:
            assert out is not None
            assert out.readline() == "ready\n"
        for into, _ in pipes:
            assert into is not None
            into.write("go\n")
            into.flush()
        answers = [json.loads(out.readline()) for _, out in pipes if out is not None]
        winners = [process for process, answer in zip(running, answers, strict=True) if answer["won"]]
        assert len(winners) == 1
        refused = [answer for answer in answers if not answer["won"]]
        assert len(refused) == COMMANDS - 1
        for answer in refused:
            assert f"process {winners[0].pid} " in answer["message"]
            assert "labctl provision" in answer["message"]
            assert answer["seconds"] < REFUSAL_SECONDS, answer
    finally:
        for process in running:
            process.communicate("done\n", timeout=30)


def test_the_lock_of_a_killed_holder_is_taken_over(tmp_path: Path) -> None:
    directory = LabDir.beside(tmp_path / "lab.yml", "k8s-lab")
    directory.create()
    root = Path(__file__).resolve().parents[2]
    for _ in range(2):
        holder = subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(directory.root)],
            cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert json.loads(holder.stdout.readline())["won"]
        holder.kill()
        holder.communicate()
