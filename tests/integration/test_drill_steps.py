"""Ansible can read the playbook of every drill and every drift case, each module with arguments that it knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestrator import paths
from orchestrator.drills.catalog import load_all
from orchestrator.drills.steps import playbook
from tests.drift import catalog

NAMES = {"control_plane": "m-k8s", "first_worker": "w1-k8s", "worker": "w2-k8s", "worker_address": "192.0.2.102"}


def test_ansible_accepts_the_steps_of_all_drills_and_drift_cases(tmp_path: Path) -> None:
    parts = [
        (slug, steps)
        for slug, drill in load_all([paths.data("drills")]).drills.items()
        for steps in (drill.breaks, drill.solve, drill.bad_fix, drill.reset_steps)
    ] + [(case.id, steps) for case in catalog.load() for steps in (case.breaks, case.repair)]
    plays = [play for title, steps in parts for play in playbook(steps, NAMES, title)]
    assert len(plays) > 300
    (tmp_path / "steps.json").write_text(json.dumps(plays))
    (tmp_path / "hosts").write_text("m-k8s\nw1-k8s\nw2-k8s\n")
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "--syntax-check", "-i", "hosts", "steps.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
