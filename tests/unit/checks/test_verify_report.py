"""The report of verify: counts, verdict, document, and text for people."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from orchestrator.checks.changes import changes
from orchestrator.checks.html import render_html
from orchestrator.checks.junit import render_junit
from orchestrator.checks.model import Report, Result, sort_results
from orchestrator.checks.text import render_text, summary

SCHEMA = Path(__file__).parents[3] / "docs" / "verify.schema.json"


def result(identity: str, status: str, node: str = "w1-k8s", layer: str = "system", **more: str) -> Result:
    return Result(identity, layer, node, status, title=f"{identity} holds", **more)  # type: ignore[arg-type]


HEALTHY = Report(
    "k8s-lab",
    1_764_000_000.0,
    3.2,
    (
        result("machine.clock", "ok", layer="machine"),
        result("swapoff.now", "not_applicable", evidence="swap belongs to the host"),
        result("control_plane.api", "ok", node="", layer="control_plane"),
    ),
)
INACTIVE = {"evidence": "docker.service is inactive", "remedy": "labctl x"}
BROKEN = Report(
    "k8s-lab",
    1_764_000_000.0,
    3.2,
    (
        result(
            "docker.running", "failed", "w1-k8s", "runtime", evidence="docker.service is inactive", remedy="labctl x"
        ),
        result(
            "docker.running", "failed", "w2-k8s", "runtime", evidence="docker.service is inactive", remedy="labctl x"
        ),
        result("docker.images", "not_run", "w1-k8s", "runtime", evidence="waits for docker.running"),
        result("node_base.tools", "warning", "w2-k8s", evidence="not installed: jq"),
        result("machine.clock", "ok", "w3-k8s", "machine"),
    ),
)


def test_a_lab_is_well_when_nothing_failed_and_everything_was_asked() -> None:
    assert HEALTHY.ok
    assert not BROKEN.ok


def test_a_warning_alone_does_not_make_a_lab_fail() -> None:
    assert Report("l", 0.0, 0.0, (result("a.b", "warning"),)).ok


def test_a_check_without_an_answer_makes_a_lab_fail() -> None:
    assert not Report("l", 0.0, 0.0, (result("a.b", "error"),)).ok
    assert not Report("l", 0.0, 0.0, (result("a.b", "not_run"),)).ok


def test_the_document_is_what_the_published_schema_says() -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for report in (HEALTHY, BROKEN):
        document = json.loads(json.dumps(report.as_dict()))
        jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
    assert BROKEN.as_dict()["summary"] == {
        "failed": 2, "error": 0, "warning": 1, "not_run": 1, "not_applicable": 0, "ok": 1,
    }  # fmt: skip


def test_failures_come_first_once_for_all_nodes_with_their_fix() -> None:
    text = render_text(BROKEN)
    first = text.splitlines()[0]
    assert first == "FAILED w1-k8s, w2-k8s: docker.running holds  [docker.running]"
    assert "    docker.service is inactive\n    fix: labctl x\n" in text
    assert "NOT RUN 1 checks: waits for docker.running" in text
    assert "\x1b" not in text


def test_the_last_line_says_it_in_one_sentence() -> None:
    assert summary(HEALTHY) == ("k8s-lab: healthy; 2 checks on 1 nodes and 1 of the cluster in 3.2 s, 1 not applicable")
    assert summary(BROKEN).startswith("k8s-lab: not healthy; 2 failed, 1 warning, 1 not run")
    assert render_text(BROKEN).splitlines()[-1] == summary(BROKEN)


def test_evidence_is_shown_as_it_is_whatever_characters_it_holds() -> None:
    odd = "wert [bold]x[/bold] \\n :smile: 한국어"
    assert odd in render_text(Report("l", 0.0, 0.0, (result("a.b", "failed", evidence=odd),)))


def test_results_stand_in_the_order_of_the_layers_and_of_the_lab() -> None:
    found = [
        result("dns.pods", "ok", "", "dns"),
        result("b.x", "ok", "w1-k8s"),
        result("a.x", "ok", "w1-k8s"),
        result("b.x", "ok", "m-k8s"),
        result("machine.clock", "ok", "w1-k8s", "machine"),
    ]
    order = [(one.id, one.node) for one in sort_results(found, ["m-k8s", "w1-k8s"])]
    assert order == [
        ("machine.clock", "w1-k8s"),
        ("b.x", "m-k8s"),
        ("b.x", "w1-k8s"),
        ("a.x", "w1-k8s"),
        ("dns.pods", ""),
    ]


def test_junit_has_a_suite_per_node_and_counts_that_add_up() -> None:
    root = ElementTree.fromstring(render_junit(BROKEN))
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    assert [suite.get("name") for suite in root] == ["w1-k8s", "w2-k8s", "w3-k8s"]
    failure = root.find("./testsuite[@name='w1-k8s']/testcase[@name='docker.running']/failure")
    assert failure is not None
    assert failure.get("message") == "docker.service is inactive"
    assert failure.text == "docker.running holds\ndocker.service is inactive\nfix: labctl x"


def test_junit_survives_what_xml_cannot_carry() -> None:
    odd = Report("l", 0.0, 0.0, (result("a.b", "failed", evidence="\x00\x1b[31m<&> \ud800 한국어"),))
    failure = ElementTree.fromstring(render_junit(odd)).find(".//failure")
    assert failure is not None
    assert "<&> \ufffd 한국어" in str(failure.text)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("report", [HEALTHY, BROKEN])
def test_the_page_is_complete_well_formed_and_needs_nothing_else(report: Report) -> None:
    page = Page()
    page.feed(render_html(report))
    assert page.open == []
    assert page.links == []
    assert summary(report) in page.text
    for one in report.results:
        if one.bad:
            assert one.evidence in page.text
            assert one.remedy in page.text


def test_the_page_shows_evidence_as_text_whatever_it_holds() -> None:
    page = render_html(Report("l", 0.0, 0.0, (result("a.b", "failed", evidence="<script>x</script>"),)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_changes_tell_what_became_worse_then_what_became_better() -> None:
    before = Report("l", 0.0, 0.0, (result("a.a", "ok"), result("a.b", "failed", evidence="off"), result("a.c", "ok")))
    after = Report(
        "l", 0.0, 0.0, (result("a.a", "failed", evidence="gone\nx"), result("a.b", "ok"), result("a.d", "ok"))
    )
    assert changes(before, after) == (
        "w1-k8s: a.a holds: failed (was ok): gone",
        "w1-k8s: a.b holds: ok (was failed)",
        "w1-k8s: a.d holds: ok (was not checked)",
        "w1-k8s: a.c holds: is no longer checked",
    )
    assert changes(before, before) == ()


def test_notes_stand_above_the_verdict_and_in_no_document() -> None:
    noted = replace(HEALTHY, notes=("no pod network is installed yet", "next: labctl verify"))
    lines = render_text(noted).splitlines()
    assert lines[-3:-1] == ["no pod network is installed yet", "next: labctl verify"]
    assert noted.as_dict() == HEALTHY.as_dict()
