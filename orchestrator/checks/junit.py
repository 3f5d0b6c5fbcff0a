"""The report as JUnit XML, the form that CI systems show: one suite per node, one for what runs once."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .model import STATUSES, Report, Result, Status

# Characters that XML 1.0 cannot carry in any form; programs' output may hold them.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {"failed": "failure", "error": "error", "not_run": "skipped", "not_applicable": "skipped"}
_COUNTS: dict[str, tuple[Status, ...]] = {
    "failures": ("failed",),
    "errors": ("error",),
    "skipped": ("not_run", "not_applicable"),
    "tests": STATUSES,
}


def render_junit(report: Report) -> str:
    """The report as one `testsuites` document; a warning counts as passed, with its evidence in `system-out`."""
    root = ElementTree.Element(
        "testsuites", name=f"{report.kind.command} {report.subject}", time=f"{report.seconds:.3f}"
    )
    root.attrib |= {key: str(report.count(*statuses)) for key, statuses in _COUNTS.items()}
    for node in (*report.nodes, ""):
        if results := report.select(*STATUSES, node=node):
            name = node or ("cluster and host" if report.nodes else report.subject)
            suite = ElementTree.SubElement(root, "testsuite", name=name, hostname=name)
            suite.attrib |= {key: str(report.count(*statuses, node=node)) for key, statuses in _COUNTS.items()}
            suite.set("timestamp", report.started.isoformat(timespec="seconds"))
            suite.set("time", f"{sum(result.seconds for result in results):.3f}")
            suite.extend(_case(name, result) for result in results)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: str, result: Result) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"{suite}.{result.layer}", name=result.id, time=f"{result.seconds:.4f}"
    )
    required = f"\nrequired: {result.expected}" if result.expected else ""
    evidence = _FORBIDDEN.sub("\ufffd", result.evidence)
    headline = next(iter(evidence.splitlines()), "")
    element = _ELEMENTS.get(result.status)
    if element == "skipped":
        ElementTree.SubElement(case, element, message=f"{result.status.replace('_', ' ')}: {headline}")
    elif element:
        outcome = ElementTree.SubElement(case, element, message=headline)
        outcome.text = f"{result.title}\n{evidence}{required}\nfix: {result.remedy}"
    elif result.status == "warning":
        ElementTree.SubElement(case, "system-out").text = f"warning: {evidence}{required}\nfix: {result.remedy}"
    return case
