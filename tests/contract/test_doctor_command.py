"""What `labctl doctor` promises: one document, exit 0 or 3, nothing changed unasked, bad options refused at once."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contract.test_cli import labctl

AUTO = "version: 1\nnetwork: {subnet: auto}\n"


def test_a_look_at_the_host_is_one_document_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = labctl("doctor", "--output", "json", cwd=tmp_path, lab=AUTO)
    document = json.loads(done.stdout)
    assert document["schema"] == "labctl/doctor/v1"
    assert done.returncode == (0 if document["ok"] else 3)
    assert len({check["id"] for check in document["checks"]}) == len(document["checks"]) >= 30
    for check in document["checks"]:
        assert check["found"], check
        assert check["fix"] or check["status"] in ("ok", "not_applicable"), check
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "lab.yml"]


def test_what_the_host_cannot_do_is_said_with_what_is_required_and_the_fix(tmp_path: Path) -> None:
    lab = AUTO + "workers: {count: 30, memory: 65536}\nprovider: libvirt\n"
    done = labctl("doctor", cwd=tmp_path, lab=lab)
    assert done.returncode == 3, done.stdout
    memory = done.stdout[done.stdout.index("FAILED Memory for 31 nodes") :].splitlines()
    assert "required:" in memory[1]
    assert "fix:" in memory[2]


def test_reports_are_written_for_people_and_for_ci(tmp_path: Path) -> None:
    done = labctl("doctor", "--report", "html=h.html", "--report", "junit=j.xml", cwd=tmp_path, lab=AUTO)
    assert done.returncode in (0, 3), done.stderr
    assert "this host" in (tmp_path / "h.html").read_text()
    assert int(ElementTree.parse(tmp_path / "j.xml").getroot().get("tests", "0")) >= 30


@pytest.mark.parametrize("report", ["html=/no/such/place/x.html", "pdf=x.pdf", "html=", "html"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path, report: str) -> None:
    done = labctl("doctor", "--report", report, cwd=tmp_path, lab=AUTO)
    assert done.returncode == 2
    assert report in done.stderr
    assert "fix:" in done.stderr


def test_stale_files_stay_when_nobody_can_be_asked(tmp_path: Path) -> None:
    lab = tmp_path / ".labctl" / "k8s-lab"
    lab.mkdir(parents=True, mode=0o700)
    note = lab / "lock.holder"
    note.write_text("{")
    done = labctl("doctor", "--fix", cwd=tmp_path, lab=AUTO)
    assert note.exists()
    assert "state.locks" in done.stdout
