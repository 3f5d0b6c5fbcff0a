"""A part of the phases is a playbook that imports the playbooks of that part."""

from __future__ import annotations

from pathlib import Path

import yaml

from orchestrator.lab.phases import PLAYBOOKS, PhaseRange, playbook
from orchestrator.paths import LabDir


def test_a_part_of_the_phases_imports_its_playbooks_in_their_order(tmp_path: Path) -> None:
    file = Path(playbook(PhaseRange("prepare", "runtime"), LabDir(tmp_path)))
    imports = [Path(play["ansible.builtin.import_playbook"]) for play in yaml.safe_load(file.read_text())]
    assert [path.name for path in imports] == ["prepare.yml", "runtime.yml"]
    assert all(path.is_file() for path in imports)


def test_all_phases_are_the_playbook_of_the_whole(tmp_path: Path) -> None:
    assert playbook(PhaseRange(), LabDir(tmp_path)) == "site.yml"
    assert not list(tmp_path.iterdir())


def test_each_phase_that_is_a_playbook_can_be_run_alone(tmp_path: Path) -> None:
    for name in PLAYBOOKS:
        text = Path(playbook(PhaseRange(name, name), LabDir(tmp_path))).read_text()
        assert text.count("import_playbook") == 1
