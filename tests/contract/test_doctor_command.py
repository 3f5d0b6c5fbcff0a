"""What `labctl doctor` promises: one document, exit 0 or 3, nothing changed unasked, bad options refused at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.contract.test_cli import ROOT, labctl

SCHEMA = ROOT / "docs" / "doctor.schema.json"
AUTO = "version: 1\nnetwork: {subnet: auto}\n"


def test_a_look_at_the_host_is_one_document_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = labctl("doctor", "--output", "json", cwd=tmp_path, lab=AUTO)
    document = json.loads(done.stdout)
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
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


def test_fix_with_yes_removes_what_nobody_needs_and_looks_again(tmp_path: Path) -> None:
    lab = tmp_path / ".labctl" / "k8s-lab"
    lab.mkdir(parents=True, mode=0o700)
    stale, kept = lab / "lock.holder", lab / "notes.txt"
    stale.write_text("{")
    kept.write_text("mine")
    before = checks(labctl("doctor", "--output", "json", cwd=tmp_path, lab=AUTO))
    assert before["state.locks"]["repairable"]
    assert before["state.locks"]["status"] == "warning"
    assert stale.exists(), "a look alone must change nothing"
    missing = [one for one, check in before.items() if check["repairable"] and one != "state.locks"]
    if any(before[one]["status"] != "ok" for one in missing):
        pytest.skip(f"packages are missing on this host, and a test installs none: {', '.join(missing)}")
    after = checks(labctl("doctor", "--fix", "--yes", "--output", "json", cwd=tmp_path, lab=AUTO))
    assert after["state.locks"]["status"] == "ok"
    assert not stale.exists()
    assert kept.read_text() == "mine"


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The checks of a document by id."""
    return {check["id"]: check for check in json.loads(done.stdout)["checks"]}
