"""The report as JUnit XML, the form that CI systems show: one suite per node, one for the cluster and the host."""

from __future__ import annotations

import datetime
import re
from xml.etree import ElementTree

from .report import CheckResult, Report

# Characters that XML 1.0 cannot carry in any form; programs' output may hold them.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: Report) -> str:
    """The report as one `testsuites` document; a warning counts as passed and is told in `system-out`."""
    root = ElementTree.Element("testsuites", name=f"labctl verify {report.lab}", time=f"{report.seconds:.3f}")
    for node in (*report.nodes, ""):
        results = [result for result in report.results if result.node == node]
        if results:
            root.append(_suite(report, node or "cluster and host", results))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(report: Report, name: str, results: list[CheckResult]) -> ElementTree.Element:
    started = datetime.datetime.fromtimestamp(report.at, tz=datetime.UTC)
    suite = ElementTree.Element(
        "testsuite",
        name=name,
        hostname=name,
        timestamp=started.isoformat(timespec="seconds"),
        tests=str(len(results)),
        failures=str(len([r for r in results if r.status == "failed"])),
        errors=str(len([r for r in results if r.status == "error"])),
        skipped=str(len([r for r in results if r.status in ("not_run", "not_applicable")])),
        time=f"{sum(r.seconds for r in results):.3f}",
    )
    for result in results:
        suite.append(_case(name, result))
    return suite


def _case(name: str, result: CheckResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"{name}.{result.layer}", name=result.id, time=f"{result.seconds:.4f}"
    )
    evidence = _FORBIDDEN.sub("\ufffd", result.evidence)
    first = (evidence.splitlines() or [""])[0]
    kind = {"failed": "failure", "error": "error", "not_run": "skipped", "not_applicable": "skipped"}.get(result.status)
    if kind:
        message = f"{result.status.replace('_', ' ')}: {first}" if kind == "skipped" else first
        outcome = ElementTree.SubElement(case, kind, message=message)
        if kind != "skipped":
            outcome.text = f"{result.title}\n{evidence}\nfix: {result.remedy}"
    elif result.status == "warning":
        ElementTree.SubElement(case, "system-out").text = f"warning: {evidence}\nfix: {result.remedy}"
    return case
