"""Specs of a suite become results: their names, their evidence, what was not run, and what failed around them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestrator.checks.html import render_html
from orchestrator.checks.junit import render_junit
from orchestrator.checks.model import CONFORMANCE, Report, Result
from orchestrator.checks.specs import chosen_specs, results_of
from orchestrator.checks.text import render_text, summary

PODS = "[sig-node] Pods should be updated [NodeConformance] [Conformance]"
DNS = "[sig-network] DNS should resolve [Conformance]"
CASES = f"""
<testcase name="[SynchronizedBeforeSuite]" status="passed" time="0"/>
<testcase name="[It] {PODS} [sig-node, NodeConformance, Conformance]" status="passed" time="2.5"/>
<testcase name="[It] {DNS} [sig-network, Conformance]" status="failed" time="30">
  <failure message="no answer from 10.96.0.10">dns.go:42</failure>
</testcase>
<testcase name="[It] [sig-apps] Job should not be chosen [sig-apps]" status="skipped" time="0">
  <skipped message="skipped"/>
</testcase>
"""


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    return write(tmp_path, CASES)


def write(directory: Path, cases: str) -> Path:
    file = directory / "junit.xml"
    file.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return file


def by_status(results: tuple[Result, ...]) -> dict[str, list[str]]:
    return {one.status: [other.id for other in results if other.status == one.status] for one in results}


def test_the_chosen_specs_have_their_names_without_labels(tmp_path: Path) -> None:
    assert chosen_specs(write(tmp_path, CASES.replace('"failed"', '"passed"'))) == (PODS, DNS)


def test_each_chosen_spec_has_a_result(junit: Path) -> None:
    assert by_status(results_of((PODS, DNS), junit)) == {"ok": [PODS], "failed": [DNS]}


def test_a_failure_says_why_and_how_to_run_it_again(junit: Path) -> None:
    (failed,) = results_of((DNS,), junit)
    assert failed.evidence == "no answer from 10.96.0.10\ndns.go:42"
    assert (failed.layer, failed.title) == ("sig-network", "DNS should resolve")
    assert failed.remedy == "labctl conformance --focus 'DNS should resolve'"


def test_a_spec_that_the_report_lacks_was_not_run(junit: Path) -> None:
    assert by_status(results_of((PODS, "[sig-cli] Kubectl works [Conformance]"), junit)) == {
        "ok": [PODS],
        "not_run": ["[sig-cli] Kubectl works [Conformance]"],
    }


def test_a_report_that_was_cut_off_leaves_every_spec_as_not_run(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text("<testsuites><testsuite>")
    assert by_status(results_of((PODS,), file)) == {"not_run": [PODS]}


def test_what_fails_around_the_specs_is_a_failure_too(tmp_path: Path) -> None:
    cases = CASES.replace('BeforeSuite]" status="passed"', 'BeforeSuite]" status="timedout"')
    (suite,) = [one for one in results_of((PODS,), write(tmp_path, cases)) if one.status == "failed"]
    assert (suite.id, suite.layer, suite.evidence) == ("[SynchronizedBeforeSuite]", "suite", "timedout")


def test_a_spec_that_skips_itself_says_why_and_does_not_fail_the_report(tmp_path: Path) -> None:
    cases = CASES.replace('"failed"', '"skipped"').replace("failure", "skipped")
    (skipped,) = results_of((DNS,), write(tmp_path, cases))
    assert (skipped.status, skipped.headline) == ("not_applicable", "no answer from 10.96.0.10")
    assert Report("lab", 0.0, 1.0, (skipped,), CONFORMANCE).ok


class TestReport:
    @pytest.fixture
    def report(self, junit: Path) -> Report:
        return Report("lab", 0.0, 60.0, results_of((PODS, DNS, "[sig-cli] X [Conformance]"), junit), CONFORMANCE)

    def test_speaks_of_specs(self, report: Report) -> None:
        assert summary(report) == "lab: not conformant; 1 failed, 1 not run (3 specs in 60.0 s)"

    def test_counts_by_group_of_the_project(self, report: Report) -> None:
        text = render_text(report)
        assert "FAILED DNS should resolve" in text
        assert "NOT RUN 1 specs: the run ended before it" in text
        assert text.split("GROUP")[1].split() >= ["OK", "FAILED"]

    def test_as_a_page_has_no_word_of_nodes_and_layers(self, report: Report) -> None:
        page = render_html(report)
        assert "<h2>What failed</h2>" in page
        assert "layer" not in page.partition("<body>")[2]

    def test_as_junit_has_each_spec_under_its_group(self, report: Report) -> None:
        suite = ElementTree.fromstring(render_junit(report)).findall("testsuite")[0]
        assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
        assert {case.get("classname") for case in suite} == {"lab.sig-node", "lab.sig-network", "lab.sig-cli"}

    def test_as_a_document_has_counts_and_specs(self, report: Report) -> None:
        document = report.as_dict()
        assert (document["schema"], document["ok"], document["summary"]["failed"]) == (
            "labctl/conformance/v1",
            False,
            1,
        )
        assert document["checks"][0] == {
            "id": PODS,
            "title": "Pods should be updated",
            "status": "ok",
            "seconds": 2.5,
            "group": "sig-node",
            "evidence": "",
        }
